/* CUBIC (RFC 9438), as most of the Internet has it: for comparison with BBR on one path. A loss narrows the window; the
 * acknowledgements of what left let the next leave, unpaced. */
#include <math.h>
#include "sender.h"
#include "lwip/priv/tcp_priv.h"

/* RFC 9438 §5 and §4.6. */
#define CUBIC_C 0.4f
#define CUBIC_BETA 0.7f
/* RFC 6928. */
#define INITIAL_SEGMENTS 10
#define LEAST_SEGMENTS 2

void cubic_opened(struct tcp_pcb *pcb) {
  struct sender *s = &pcb->sender;
  pcb->cwnd = INITIAL_SEGMENTS * pcb->mss;
  pcb->ssthresh = TCP_SND_BUF;
  s->bbr.min_rtt_us = s->srtt_us;
}

static void begin_epoch(struct tcp_pcb *pcb, uint32_t now) {
  struct cubic *c = &pcb->sender.cubic;
  float cwnd = (float)pcb->cwnd;
  c->epoch_at = now;
  c->reno = cwnd;
  if (c->largest < cwnd) c->largest = cwnd;
  c->plateau = cbrtf((c->largest - cwnd) / (float)pcb->mss / CUBIC_C);
}

/* §4.2 to §4.5. */
static void grow(struct tcp_pcb *pcb, uint32_t acked, uint32_t now) {
  struct cubic *c = &pcb->sender.cubic;
  float mss = (float)pcb->mss, cwnd = (float)pcb->cwnd, t, target;
  if (c->epoch_at == 0) begin_epoch(pcb, now);
  t = (float)(now - c->epoch_at + pcb->sender.srtt_us) / 1e6f - c->plateau;
  target = c->largest + CUBIC_C * t * t * t * mss;
  target = LWIP_MAX(cwnd, LWIP_MIN(target, 1.5f * cwnd));
  c->reno += 3.0f * (1.0f - CUBIC_BETA) / (1.0f + CUBIC_BETA) * mss * (float)acked / cwnd;
  cwnd = LWIP_MAX(cwnd + (target - cwnd) * (float)acked / cwnd, c->reno);
  pcb->cwnd = (tcpwnd_size_t)LWIP_MIN(cwnd, (float)TCP_SND_BUF);
}

/* Once in a recovery: §4.6 and §4.7. */
void cubic_lost(struct tcp_pcb *pcb) {
  struct cubic *c = &pcb->sender.cubic;
  float window = (float)pcb->cwnd;
  if (pcb->flags & TF_INFR) return;
  c->largest = window < c->largest ? window * (1.0f + CUBIC_BETA) / 2.0f : window;
  c->epoch_at = 0;
  pcb->ssthresh = (tcpwnd_size_t)LWIP_MAX(window * CUBIC_BETA, (float)(LEAST_SEGMENTS * pcb->mss));
  pcb->cwnd = pcb->ssthresh;
}

void cubic_acked(struct tcp_pcb *pcb, const struct rate_sample *r, uint32_t now) {
  struct bbr *b = &pcb->sender.bbr;
  if (r->rtt_us != 0 && (b->min_rtt_us == 0 || r->rtt_us < b->min_rtt_us)) b->min_rtt_us = r->rtt_us;
  if (r->has_segment && (int32_t)(r->prior_delivered - b->round_end) >= 0) {
    b->round_end = pcb->sender.delivered;
    b->is_window_used = 0;
  }
  /* A window that is not used says nothing about the path (RFC 7661). */
  if (r->acked == 0 || (pcb->flags & TF_INFR) || pcb->sender.app_limited != 0) return;
  if (pcb->cwnd < pcb->ssthresh) pcb->cwnd = (tcpwnd_size_t)LWIP_MIN(pcb->cwnd + r->acked, TCP_SND_BUF);
  else grow(pcb, r->acked, now);
}

void cubic_expired(struct tcp_pcb *pcb) {
  pcb->cwnd = pcb->mss;
}
