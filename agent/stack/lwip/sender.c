#include "sender.h"
#include "lwip/priv/tcp_priv.h"

/* Bytes. What one burst may have: a peer's UDP buffer of 212,992 bytes, Linux's default, holds about 90 packets of
 * 1,420. */
#define MOST_BURST (96 * 1024)
/* Microseconds of the rate that a timer which fires late may make up for: what is not sent then is never sent, and a
 * process that shares its processor comes late by as much. */
#define BURST_US 10000.0f
/* Bytes of all that waits to be sent, above which each connection has its share only. */
#define QUEUED_BYTES (64 * 1024 * 1024)
/* RFC 6298 §2: K, and G of a loop of events, microseconds. */
#define RTTVAR_FACTOR 4
#define GRANULARITY_US 50000u
#define LONGEST_TICKS 600u

__attribute__((import_module("env"), import_name("now"))) double js_now(void);

struct sack_block sack_blocks[SACK_BLOCKS];
uint8_t sack_block_count;
uint8_t has_dsack;
struct rate_sample rate_sample;
uint16_t initial_window = 0xffff;
/* Bytes that a connection may queue while memory is short. */
static uint32_t share = 96 * 1024;
static uint32_t all_queued;
/* What new connections have in the place of BBR. */
static uint8_t wants_cubic;
/* No timer of a connection is due earlier; 0: there is none. */
static uint32_t soonest;

__attribute__((export_name("set_memory"))) void set_memory(uint32_t in_flight, uint32_t window) {
  share = in_flight;
  initial_window = (uint16_t)LWIP_MIN(window, 0xffff);
}

__attribute__((export_name("set_cubic"))) void set_cubic(uint32_t is_wanted) {
  wants_cubic = is_wanted != 0;
}

uint32_t now_us(void) {
  return (uint32_t)(uint64_t)(js_now() * 1000.0) | 1u;
}

void sender_set_timer(uint32_t *timer, uint32_t at) {
  *timer = at | 1u;
  if (soonest == 0 || (int32_t)(*timer - soonest) < 0) soonest = *timer;
}

/* ---- round-trip times ---- */

/* RFC 6298, in microseconds; the result in ticks, rounded up, three at least. */
static void measure(struct tcp_pcb *pcb, uint32_t rtt) {
  struct sender *s = &pcb->sender;
  uint32_t us, ticks;
  if (s->srtt_us == 0) {
    s->srtt_us = rtt;
    s->rttvar_us = rtt / 2;
  } else {
    uint32_t off = rtt > s->srtt_us ? rtt - s->srtt_us : s->srtt_us - rtt;
    s->rttvar_us += off / 4 - s->rttvar_us / 4;
    s->srtt_us += rtt / 8 - s->srtt_us / 8;
  }
  us = s->srtt_us + LWIP_MAX(RTTVAR_FACTOR * s->rttvar_us, GRANULARITY_US);
  ticks = 2 + (us + TCP_SLOW_INTERVAL * 1000u - 1) / (TCP_SLOW_INTERVAL * 1000u);
  pcb->sa = 0;
  pcb->sv = (s16_t)LWIP_MIN(ticks, LONGEST_TICKS);
  pcb->rto = pcb->sv;
}

/* The handshake is over. */
void sender_opened(struct tcp_pcb *pcb) {
  struct sender *s = &pcb->sender;
  uint32_t now = now_us();
  if (s->opened_at != 0) measure(pcb, LWIP_MAX(now - s->opened_at, 1u));
  s->opened_at = 0;
  pcb->nrtx = 0;
  s->is_cubic = wants_cubic;
  if (s->is_cubic) cubic_opened(pcb);
  else bbr_opened(pcb, now);
}

/* ---- segments leave, and are acknowledged ---- */

void sender_sent(struct tcp_pcb *pcb, struct tcp_seg *seg) {
  struct sender *s = &pcb->sender;
  uint32_t now = now_us();
  if (TCPH_FLAGS(seg->tcphdr) & TCP_SYN) {
    /* A SYN that was sent twice is not timed (Karn). */
    s->opened_at = pcb->nrtx == 0 && s->opened_at == 0 ? now : 0;
    return;
  }
  if (TCP_TCPLEN(seg) == 0) return;
  s->allowance -= seg->len;
  if (s->out.first == NULL && !s->is_cubic) bbr_sent_idle(pcb, now);
  recovery_sent(pcb, seg, now);
}

void sender_ack_begins(struct tcp_pcb *pcb) {
  LWIP_UNUSED_ARG(pcb);
  memset(&rate_sample, 0, sizeof(rate_sample));
}

void sender_segment_acked(struct tcp_pcb *pcb, struct tcp_seg *seg) {
  all_queued -= LWIP_MIN(all_queued, seg->len);
  recovery_acked(pcb, seg, now_us());
}

/* @param acked bytes that the acknowledgement number moved by */
void sender_ack_ends(struct tcp_pcb *pcb, uint32_t acked) {
  struct sender *s = &pcb->sender;
  uint32_t now = now_us();
  recovery_update(pcb, acked, now);
  if (rate_sample.rtt_us != 0) {
    s->latest_rtt_us = rate_sample.rtt_us;
    /* Once in a round: samples of one window say the same. */
    if (s->srtt_us == 0 || (int32_t)(rate_sample.prior_delivered - s->bbr.round_end) >= 0)
      measure(pcb, rate_sample.rtt_us);
  }
  if (s->is_cubic) cubic_acked(pcb, &rate_sample, now);
  else bbr_acked(pcb, &rate_sample, now);
  recovery_arm_tail(pcb, now);
}

/* lwIP's retransmission timer: 1 where segments that were sent are lost now, and are sent again by tcp_output. */
int sender_expired(struct tcp_pcb *pcb) {
  if (pcb->state < ESTABLISHED || pcb->unacked == NULL) return 0;
  recovery_all_lost(pcb);
  if (pcb->sender.is_cubic) cubic_expired(pcb);
  else bbr_expired(pcb);
  pcb->sender.allowance = LWIP_MAX(pcb->sender.allowance, (int32_t)pcb->mss);
  return 1;
}

void sender_withdraw(struct tcp_pcb *pcb) {
  struct tcp_seg *seg;
  for (seg = pcb->unacked; seg != NULL; seg = seg->next) seg->state = 0;
  for (seg = pcb->unsent; seg != NULL; seg = seg->next) seg->state = 0;
  recovery_forget(pcb);
}

void sender_gone(struct tcp_pcb *pcb) {
  uint32_t queued = TCP_SND_BUF - pcb->snd_buf;
  all_queued -= LWIP_MIN(all_queued, queued);
  recovery_forget(pcb);
  pcb->sender.pace_at = 0;
}

/* ---- what may be sent, and queued ---- */

int sender_fits(struct tcp_pcb *pcb, uint32_t bytes) {
  struct sender *s = &pcb->sender;
  if (s->out.first == NULL || s->may_probe || s->in_flight + bytes <= pcb->cwnd) return 1;
  s->bbr.is_window_used = 1;
  return 0;
}

/* Pacing: may something be sent by now? If not, tcp_output is called when it may. */
int sender_may_send(struct tcp_pcb *pcb, uint32_t bytes) {
  struct sender *s = &pcb->sender;
  float rate = s->bbr.pacing, most;
  uint32_t now;
  if (rate == 0 || bytes == 0) return 1;
  if (s->may_probe) {
    s->may_probe = 0;
    return 1;
  }
  now = now_us();
  most = LWIP_MIN(LWIP_MAX(rate * BURST_US, 2.0f * (float)pcb->mss), (float)MOST_BURST);
  if (s->allowance_at == 0) {
    s->allowance = (int32_t)most;
  } else if (now != s->allowance_at) {
    float allowance = (float)s->allowance + rate * (float)(now - s->allowance_at);
    s->allowance = (int32_t)LWIP_MIN(allowance, most);
  }
  s->allowance_at = now;
  if (s->allowance > 0) return 1;
  if (s->pace_at == 0) sender_set_timer(&s->pace_at, now + (uint32_t)((float)(1 - s->allowance) / rate) + 1u);
  return 0;
}

static uint32_t not_sent(const struct tcp_pcb *pcb) {
  uint32_t queued = TCP_SND_BUF - pcb->snd_buf;
  uint32_t sent = pcb->snd_nxt - pcb->lastack;
  return queued > sent ? queued - sent : 0;
}

/* Bytes that may be queued now: half of a window and a burst beyond what was sent, and when memory is short no more
 * than two windows, or a share. */
uint32_t sender_room(const struct tcp_pcb *pcb) {
  uint32_t ahead = LWIP_MAX(pcb->cwnd / 2, LWIP_MIN(share, MOST_BURST)), waiting = not_sent(pcb);
  uint32_t room = waiting < ahead ? LWIP_MIN(ahead - waiting, pcb->snd_buf) : 0;
  if (all_queued > QUEUED_BYTES / 2) {
    uint32_t queued = TCP_SND_BUF - pcb->snd_buf;
    uint32_t most = all_queued > QUEUED_BYTES ? share : LWIP_MAX(share, 2 * pcb->cwnd);
    room = queued < most ? LWIP_MIN(room, most - queued) : 0;
  }
  return room;
}

/* Is there nothing to send, or no room for it in the peer's window? */
static int is_held_back(const struct tcp_pcb *pcb) {
  const struct tcp_seg *seg = pcb->unsent;
  return seg == NULL || lwip_ntohl(seg->tcphdr->seqno) - pcb->lastack + seg->len > pcb->snd_wnd;
}

/* tcp_output sent what it could. */
void sender_output_done(struct tcp_pcb *pcb) {
  struct sender *s = &pcb->sender;
  s->may_probe = 0;
  if (pcb->state < ESTABLISHED) return;
  if (s->lost.first == NULL && s->in_flight + pcb->mss <= pcb->cwnd && is_held_back(pcb))
    s->app_limited = LWIP_MAX(s->delivered + s->in_flight, 1u);
  if (!s->is_wanted || sender_room(pcb) < LWIP_MIN(share / 2, MOST_BURST / 2)) return;
  s->is_wanted = 0;
  tell_of_room(pcb);
}

void sender_queued(uint32_t bytes) {
  all_queued += bytes;
}

/* ---- timers ---- */

static int is_due(uint32_t timer, uint32_t now) {
  return timer != 0 && (int32_t)(timer - now) <= 0;
}

static void look_for_next(uint32_t timer) {
  if (timer != 0 && (soonest == 0 || (int32_t)(timer - soonest) < 0)) soonest = timer;
}

/* Does what is due of all connections. */
__attribute__((export_name("run_senders"))) void run_senders(void) {
  uint32_t now = now_us();
  struct tcp_pcb *pcb;
  if (!is_due(soonest, now)) return;
  soonest = 0;
  for (pcb = tcp_active_pcbs; pcb != NULL; pcb = pcb->next) {
    struct sender *s = &pcb->sender;
    int is_paced = is_due(s->pace_at, now);
    if (is_paced) s->pace_at = 0;
    if (is_due(s->rack_at, now) || is_due(s->tail_at, now)) recovery_timer(pcb, now);
    else if (is_paced) tcp_output(pcb);
    look_for_next(s->pace_at);
    look_for_next(s->rack_at);
    look_for_next(s->tail_at);
  }
}

/* Microseconds until run_senders has to do; -1: nothing. */
__attribute__((export_name("next_sender"))) int32_t next_sender(void) {
  int32_t wait;
  if (soonest == 0) return -1;
  wait = (int32_t)(soonest - now_us());
  return LWIP_MAX(wait, 0);
}
