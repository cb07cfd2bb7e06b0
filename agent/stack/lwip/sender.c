#include "sender.h"
#include <math.h>
#include "lwip/priv/tcp_priv.h"

/* Bytes. What one burst may have, and what is in flight at least before anything was measured: a peer's UDP buffer
 * of 212,992 bytes holds about 90 packets of 1,420. */
#define BURST (48 * 1024)
/* RFC 9438 §5. */
#define CUBIC_C 0.4f
#define CUBIC_BETA 0.7f
/* Of a round: more losses than this are no chance (BBR's loss threshold), and how fast the window grows below it. */
#define LOSSY 0.02f
#define PROBE 0.03f
/* Microseconds that the shortest round-trip time is believed. */
#define MIN_RTT_AGE 10000000u

__attribute__((import_module("env"), import_name("now"))) double js_now(void);

struct sack_block sack_blocks[SACK_BLOCKS];
uint8_t sack_block_count;
uint16_t initial_window = 0xffff;
uint32_t held_senders;
static uint32_t base_in_flight = 96 * 1024;

__attribute__((export_name("set_memory"))) void set_memory(uint32_t in_flight, uint32_t window) {
  base_in_flight = in_flight;
  initial_window = (uint16_t)LWIP_MIN(window, 0xffff);
}

static uint32_t now_us(void) {
  return (uint32_t)(uint64_t)(js_now() * 1000.0);
}

static uint32_t first_of(const struct tcp_seg *seg) {
  return lwip_ntohl(seg->tcphdr->seqno);
}

static uint32_t flight(const struct tcp_pcb *pcb) {
  return pcb->snd_nxt - pcb->lastack;
}

void sender_sent(struct tcp_pcb *pcb, struct tcp_seg *seg) {
  struct sender *s = &pcb->sender;
  seg->sent = ++s->sent;
  seg->state &= (u8_t)~SEG_LOST;
  s->allowance -= seg->len;
  /* Only new data is timed, and nothing while losses are repaired (Karn). */
  if (pcb->rttest != 0 || (pcb->flags & (TF_INFR | TF_RTO)) || TCP_SEQ_LT(first_of(seg), pcb->snd_nxt)) return;
  pcb->rttest = 1;
  pcb->rtseq = first_of(seg);
  s->timed_at = now_us();
}

void sender_segment_acked(struct tcp_pcb *pcb, const struct tcp_seg *seg) {
  if (!(seg->state & SEG_SACKED) && (int32_t)(seg->sent - pcb->sender.arrived) > 0) pcb->sender.arrived = seg->sent;
}

/* RFC 6298, in microseconds; the result in ticks, rounded up, three at least. */
static void set_timeout(struct tcp_pcb *pcb) {
  const struct sender *s = &pcb->sender;
  uint32_t us = s->srtt_us + LWIP_MAX(4 * s->rttvar_us, 50000u);
  uint32_t ticks = 2 + (us + TCP_SLOW_INTERVAL * 1000u - 1) / (TCP_SLOW_INTERVAL * 1000u);
  pcb->sa = 0;
  pcb->sv = (s16_t)LWIP_MIN(ticks, 600u);
  pcb->rto = pcb->sv;
}

void sender_timed(struct tcp_pcb *pcb) {
  struct sender *s = &pcb->sender;
  uint32_t now = now_us();
  uint32_t rtt = LWIP_MAX(now - s->timed_at, 1u);
  if (s->srtt_us == 0) {
    s->srtt_us = rtt;
    s->rttvar_us = rtt / 2;
  } else {
    uint32_t off = rtt > s->srtt_us ? rtt - s->srtt_us : s->srtt_us - rtt;
    s->rttvar_us += off / 4 - s->rttvar_us / 4;
    s->srtt_us += rtt / 8 - s->srtt_us / 8;
    if (s->srtt_us == 0) s->srtt_us = 1;
  }
  if (s->min_rtt_us == 0 || rtt <= s->min_rtt_us || now - s->min_rtt_at > MIN_RTT_AGE) {
    s->min_rtt_us = rtt;
    s->min_rtt_at = now;
  }
  set_timeout(pcb);
}

uint32_t sender_bound(const struct tcp_pcb *pcb) {
  const struct sender *s = &pcb->sender;
  float bound = (float)base_in_flight + 2.0f * s->rate * (float)s->min_rtt_us;
  return bound < (float)TCP_SND_BUF ? (uint32_t)bound : TCP_SND_BUF;
}

/* The rate at which a round's bytes arrived; old rounds fade. */
static void measure_rate(struct tcp_pcb *pcb, uint32_t acked) {
  struct sender *s = &pcb->sender;
  uint32_t now = now_us();
  s->round_bytes += acked;
  if (s->round_at != 0 && TCP_SEQ_LT(pcb->lastack, s->round_end)) return;
  if (s->round_at != 0 && now != s->round_at) {
    float rate = (float)s->round_bytes / (float)LWIP_MAX(now - s->round_at, LWIP_MAX(s->min_rtt_us, 1u));
    s->rate = LWIP_MAX(rate, s->rate * 0.9f);
    s->is_lossy = (float)s->round_lost > LOSSY * (float)(s->round_bytes + s->round_lost) + 3.0f * (float)pcb->mss;
    if (s->is_lossy && (pcb->flags & TF_INFR)) {
      pcb->ssthresh = (tcpwnd_size_t)LWIP_MAX((float)pcb->ssthresh * CUBIC_BETA, 2.0f * (float)pcb->mss);
      s->largest = (float)pcb->ssthresh;
    }
  }
  s->round_end = pcb->snd_nxt;
  s->round_at = now | 1u;
  s->round_bytes = 0;
  s->round_lost = 0;
}

static void begin_epoch(struct tcp_pcb *pcb) {
  struct sender *s = &pcb->sender;
  float cwnd = (float)pcb->cwnd;
  s->epoch_at = now_us() | 1u;
  s->from = cwnd;
  s->reno = cwnd;
  if (s->largest < cwnd) s->largest = cwnd;
  s->plateau = cbrtf((s->largest - cwnd) / (float)pcb->mss / CUBIC_C);
}

/* RFC 9438 §4.2 to §4.5. */
static void grow_by_cubic(struct tcp_pcb *pcb, uint32_t acked) {
  struct sender *s = &pcb->sender;
  float mss = (float)pcb->mss, cwnd = (float)pcb->cwnd, t, target;
  if (s->epoch_at == 0) begin_epoch(pcb);
  t = (float)(now_us() - s->epoch_at + s->srtt_us) / 1e6f - s->plateau;
  target = s->largest + CUBIC_C * t * t * t * mss;
  target = LWIP_MAX(cwnd, LWIP_MIN(target, 1.5f * cwnd));
  s->reno += 3.0f * (1.0f - CUBIC_BETA) / (1.0f + CUBIC_BETA) * mss * (float)acked / cwnd;
  cwnd += (target - cwnd) * (float)acked / cwnd;
  if (s->reno > cwnd) cwnd = s->reno;
  pcb->cwnd = (tcpwnd_size_t)LWIP_MIN(cwnd, (float)TCP_SND_BUF);
}

void sender_acked(struct tcp_pcb *pcb, uint32_t acked) {
  measure_rate(pcb, acked);
  if (pcb->flags & TF_INFR) {
    /* Where losses are chance, the search for more goes on while they are repaired. */
    if (!pcb->sender.is_lossy && pcb->ssthresh < TCP_SND_BUF)
      pcb->ssthresh += (tcpwnd_size_t)(PROBE * (float)LWIP_MIN(acked, pcb->ssthresh));
    if (TCP_SEQ_LT(pcb->lastack, pcb->sender.recover)) return;
    tcp_clear_flags(pcb, TF_INFR);
    pcb->cwnd = pcb->ssthresh;
    pcb->sender.epoch_at = 0;
    return;
  }
  /* A window that is not used says nothing about the path (RFC 7661). */
  if (pcb->cwnd > 2 * (flight(pcb) + acked) + 4 * pcb->mss) return;
  if (pcb->cwnd < pcb->ssthresh) {
    TCP_WND_INC(pcb->cwnd, LWIP_MIN(acked, (uint32_t)((pcb->flags & TF_RTO) ? 1 : 8) * pcb->mss));
    if (pcb->cwnd > TCP_SND_BUF) pcb->cwnd = TCP_SND_BUF;
  } else {
    grow_by_cubic(pcb, acked);
  }
}

static void remember_loss(struct tcp_pcb *pcb) {
  struct sender *s = &pcb->sender;
  float window = (float)LWIP_MIN(pcb->cwnd, LWIP_MAX(flight(pcb), 2u * pcb->mss));
  s->largest = window < s->largest ? window * (1.0f + CUBIC_BETA) / 2.0f : window;
  s->epoch_at = 0;
  pcb->ssthresh = (tcpwnd_size_t)LWIP_MAX(window * CUBIC_BETA, 2.0f * (float)pcb->mss);
}

/* What the path was seen to carry without a queue, bytes. */
static float carried(const struct tcp_pcb *pcb) {
  return pcb->sender.rate * (float)pcb->sender.min_rtt_us;
}

void sender_timed_out(struct tcp_pcb *pcb) {
  struct tcp_seg *seg;
  for (seg = pcb->unsent; seg != NULL; seg = seg->next) seg->state = 0;
  remember_loss(pcb);
  tcp_clear_flags(pcb, TF_INFR);
  pcb->sender.allowance = LWIP_MAX(pcb->sender.allowance, (int32_t)pcb->mss);
}

static void mark_arrived(struct tcp_pcb *pcb) {
  struct tcp_seg *seg;
  uint8_t i;
  for (seg = pcb->unacked; seg != NULL && sack_block_count > 0; seg = seg->next) {
    uint32_t left = first_of(seg), right = left + TCP_TCPLEN(seg);
    if (seg->state & SEG_SACKED) continue;
    for (i = 0; i < sack_block_count; i++) {
      if (TCP_SEQ_LT(left, sack_blocks[i].left) || TCP_SEQ_GT(right, sack_blocks[i].right)) continue;
      sender_segment_acked(pcb, seg);
      seg->state = SEG_SACKED;
      break;
    }
  }
}

/* With few segments out and none to send, fewer arrivals prove a loss (RFC 5827). */
static uint32_t loss_threshold(const struct tcp_pcb *pcb) {
  const struct tcp_seg *seg;
  uint32_t count = 0;
  for (seg = pcb->unacked; seg != NULL && count < 4; seg = seg->next) count++;
  return pcb->unsent != NULL || count >= 4 ? 3 : LWIP_MAX(count, 2u) - 1;
}

void sender_look_for_losses(struct tcp_pcb *pcb) {
  struct sender *s = &pcb->sender;
  struct tcp_seg *seg;
  uint32_t threshold;
  float window;
  int is_lost = 0;
  if (!(pcb->flags & TF_SACK) || pcb->unacked == NULL) return;
  mark_arrived(pcb);
  if (sack_block_count == 0 && !(pcb->flags & TF_INFR)) return;
  threshold = loss_threshold(pcb);
  for (seg = pcb->unacked; seg != NULL; seg = seg->next) {
    if (seg->state != 0 || (int32_t)(s->arrived - seg->sent) < (int32_t)threshold) continue;
    seg->state = SEG_LOST;
    s->round_lost += seg->len;
    is_lost = 1;
  }
  if (!is_lost || (pcb->flags & TF_INFR)) return;
  window = (float)LWIP_MIN(pcb->cwnd, flight(pcb));
  remember_loss(pcb);
  if (!s->is_lossy) pcb->ssthresh = (tcpwnd_size_t)LWIP_MAX((float)pcb->ssthresh, LWIP_MIN(carried(pcb), window));
  tcp_set_flags(pcb, TF_INFR);
  s->recover = pcb->snd_nxt;
  pcb->rttest = 0;
  pcb->rtime = 0;
}

uint32_t sender_pipe(const struct tcp_pcb *pcb) {
  const struct tcp_seg *seg;
  uint32_t pipe = 0;
  for (seg = pcb->unacked; seg != NULL; seg = seg->next)
    if (seg->state == 0) pipe += seg->len;
  return pipe;
}

int sender_may_send(struct tcp_pcb *pcb, uint32_t bytes) {
  struct sender *s = &pcb->sender;
  uint32_t now = now_us();
  if (s->allowance_at == 0) s->allowance = BURST;
  if (s->srtt_us == 0) {
    s->allowance_at = now | 1u;
    return 1;
  }
  if (now != s->allowance_at) {
    float gain = pcb->cwnd < pcb->ssthresh ? 2.0f : 1.25f;
    float window = (float)LWIP_MIN(pcb->cwnd, sender_bound(pcb));
    float more = gain * window / (float)LWIP_MAX(s->srtt_us, 1u) * (float)(now - s->allowance_at);
    float allowance = (float)s->allowance + more;
    s->allowance = allowance < BURST ? (int32_t)allowance : BURST;
    s->allowance_at = now | 1u;
  }
  if (s->allowance > 0 || bytes == 0) return 1;
  if (!s->is_held) {
    s->is_held = 1;
    held_senders++;
  }
  return 0;
}

void sender_gone(struct tcp_pcb *pcb) {
  if (!pcb->sender.is_held) return;
  pcb->sender.is_held = 0;
  held_senders--;
}

/* Sends what allowances let through by now; how many connections still wait. */
__attribute__((export_name("send_held"))) uint32_t send_held(void) {
  struct tcp_pcb *pcb;
  for (pcb = tcp_active_pcbs; pcb != NULL && held_senders > 0; pcb = pcb->next) {
    if (!pcb->sender.is_held) continue;
    sender_gone(pcb);
    tcp_output(pcb);
  }
  return held_senders;
}

__attribute__((export_name("held"))) uint32_t held(void) {
  return held_senders;
}
