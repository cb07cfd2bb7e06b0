/* BBR (draft-ietf-ccwg-bbr-01, called "the draft" below): a model of the path, its rate and its shortest round trip,
 * says how fast to send and how much may be on its way. Departures:
 *   - losses below a threshold (see is_lossy) are chance and change nothing, neither while it probes nor else;
 *   - what hosts that share processors need to stay busy is added to the window (see BURST_US). */
#include "sender.h"
#include "lwip/priv/tcp_priv.h"

enum { STARTUP, DRAIN, PROBE_DOWN, PROBE_CRUISE, PROBE_REFILL, PROBE_UP, PROBE_RTT };
/* Which part of a probe the acknowledgements of now tell of. */
enum { ACKS_INIT, ACKS_REFILLING, ACKS_STARTING, ACKS_FEEDBACK, ACKS_STOPPING };

#define UNBOUNDED 0xffffffffu

/* The draft's §2.4: 4 ln 2, and about its inverse; the window in STARTUP and PROBE_UP. */
#define STARTUP_GAIN 2.77f
#define DRAIN_GAIN 0.35f
#define WINDOW_GAIN 2.0f
#define UP_WINDOW_GAIN 2.25f
/* §2.5: pacing while it probes, drains, and between. */
#define UP_GAIN 1.25f
#define DOWN_GAIN 0.9f
/* §2.5: the rate is paced a little below what was measured, lest a queue stays. */
#define PACING_MARGIN 0.99f
/* §2.7: losses of a round that are too many, what is then kept, what is left to others, segments at least. */
#define LOSS_THRESHOLD 0.02f
#define BETA 0.7f
#define HEADROOM 0.85f
#define LEAST_SEGMENTS 4
/* Losses that are chance whatever the window, for 2 % of a small one is less than one segment; unless there were too
 * many in so many rounds on average. */
#define CHANCE_SEGMENTS 3
#define CHANCE_ROUNDS 32.0f
/* §5.3.1: STARTUP ends when the rate grew less than by a quarter in three rounds, or by six losses and too many. */
#define FULL_GROWTH 1.25f
#define FULL_ROUNDS 3
#define FULL_LOSSES 6
/* §2.13: microseconds that the shortest round trip is believed, and between looks for it; how long a look is. */
#define MIN_RTT_US 10000000u
#define PROBE_RTT_EVERY_US 5000000u
#define PROBE_RTT_US 200000u
#define PROBE_RTT_GAIN 0.5f
/* §5.3.3.8: between two probes for more, microseconds, and rounds of a window of as many segments. */
#define PROBE_WAIT_US 2000000u
#define PROBE_WAIT_RANDOM_US 1000000u
#define PROBE_ROUNDS 63u
/* §5.5.9: rounds that acknowledgements in bursts are remembered, half of them; and how much of them counts: what the
 * path holds, or so many bytes. (The draft's bound, 100 ms of the rate, gives to those who have.) */
#define EXTRA_ROUNDS 5
#define MOST_EXTRA (64.0f * 1024.0f)
/* RFC 6928. */
#define INITIAL_SEGMENTS 10
/* Microseconds of the rate in the window for timers of a millisecond and turns of an event loop: what the draft's
 * §5.6.4.2.1 has for segmentation offload. */
#define BURST_US 2000.0f
#define MOST_BURST (32.0f * 1024.0f)
/* In every window alike: where round trips are short, windows would otherwise only be as large as rates are, and rates
 * as large as windows, so that shares stay as unequal as they began. */
#define EQUAL_SEGMENTS 6

static float larger(float a, float b) {
  return a > b ? a : b;
}

static float largest_rate(const struct bbr *b) {
  return larger(b->rates[0], b->rates[1]);
}

static float rate_of(const struct bbr *b) {
  float rate = largest_rate(b);
  return b->rate_bound != 0 && b->rate_bound < rate ? b->rate_bound : rate;
}

static int is_after(uint32_t now, uint32_t since, uint32_t us) {
  return (int32_t)(now - since) > (int32_t)us;
}

static int is_path_lossy(const struct bbr *b) {
  return b->average_lost > LOSS_THRESHOLD * (b->average_delivered + b->average_lost);
}

static int is_lossy(const struct tcp_pcb *pcb, uint32_t lost, uint32_t of) {
  uint32_t chance = is_path_lossy(&pcb->sender.bbr) ? 0 : CHANCE_SEGMENTS * pcb->mss;
  return (float)lost > LOSS_THRESHOLD * (float)of + (float)chance;
}

static int is_in_cycle(const struct bbr *b) {
  return b->mode >= PROBE_DOWN && b->mode <= PROBE_UP;
}

/* What the path holds at a rate without a queue, bytes. */
static float product(const struct bbr *b, float rate) {
  return rate * (float)b->min_rtt_us;
}

/* §5.6.4.2 */
static uint32_t window_for(const struct tcp_pcb *pcb, float bytes) {
  const struct bbr *b = &pcb->sender.bbr;
  float burst = rate_of(b) * BURST_US;
  bytes += 3.0f * (burst < MOST_BURST ? burst : MOST_BURST) + (float)(EQUAL_SEGMENTS * pcb->mss);
  if (b->mode == PROBE_UP) bytes += 2.0f * (float)pcb->mss;
  bytes = larger(bytes, (float)(LEAST_SEGMENTS * pcb->mss));
  return bytes < (float)TCP_SND_BUF ? (uint32_t)bytes : TCP_SND_BUF;
}

/* What is left when others have their share. */
static uint32_t with_headroom(const struct tcp_pcb *pcb) {
  const struct bbr *b = &pcb->sender.bbr;
  if (b->in_flight_high == UNBOUNDED) return UNBOUNDED;
  return LWIP_MAX((uint32_t)(HEADROOM * (float)b->in_flight_high), (uint32_t)(LEAST_SEGMENTS * pcb->mss));
}

static void start_round(struct sender *s) {
  s->bbr.round_end = s->delivered;
}

static void set_mode(struct bbr *b, uint8_t mode, float gain, float window_gain) {
  b->mode = mode;
  b->gain = gain;
  b->window_gain = window_gain;
}

static void forget_lower_bounds(struct bbr *b) {
  b->rate_bound = 0;
  b->in_flight_low = UNBOUNDED;
}

/* ---- the cycle of probes: §5.3.3 ---- */

static void start_down(struct sender *s, uint32_t now) {
  struct bbr *b = &s->bbr;
  b->round_lost = 0;
  b->rate_latest = 0;
  b->in_flight_latest = 0;
  b->rounds_since_probe = (uint8_t)(LWIP_RAND() & 1u);
  b->probe_wait_us = PROBE_WAIT_US + LWIP_RAND() % PROBE_WAIT_RANDOM_US;
  b->cycle_at = now;
  b->ack_phase = ACKS_STOPPING;
  start_round(s);
  set_mode(b, PROBE_DOWN, DOWN_GAIN, WINDOW_GAIN);
}

static void start_refill(struct sender *s) {
  struct bbr *b = &s->bbr;
  forget_lower_bounds(b);
  b->probe_up_rounds = 0;
  b->ack_phase = ACKS_REFILLING;
  start_round(s);
  set_mode(b, PROBE_REFILL, 1.0f, WINDOW_GAIN);
}

static void start_up(struct sender *s, uint32_t now) {
  struct bbr *b = &s->bbr;
  b->ack_phase = ACKS_STARTING;
  b->cycle_at = now;
  start_round(s);
  set_mode(b, PROBE_UP, UP_GAIN, UP_WINDOW_GAIN);
}

/* A window of as many segments has had its rounds: then a sender like Reno's would have probed, too. */
static int is_time_to_probe(const struct tcp_pcb *pcb, uint32_t now) {
  const struct bbr *b = &pcb->sender.bbr;
  uint32_t window = LWIP_MIN(window_for(pcb, product(b, rate_of(b))), pcb->cwnd);
  return is_after(now, b->cycle_at, b->probe_wait_us) ||
         b->rounds_since_probe >= LWIP_MIN(window / LWIP_MAX(pcb->mss, 1u) + 1, PROBE_ROUNDS);
}

/* The bound grows as a slow start does: doubled in each round. */
static void raise_upper_bound(struct tcp_pcb *pcb, const struct rate_sample *r) {
  struct bbr *b = &pcb->sender.bbr;
  float growth = (float)(pcb->mss << LWIP_MIN(b->probe_up_rounds, 12));
  if (!b->is_window_used || pcb->cwnd < b->in_flight_high) return;
  b->in_flight_high += (uint32_t)(larger((float)r->acked, 1.0f) * LWIP_MIN(growth / (float)pcb->cwnd, 1.0f)) + 1;
  if (b->round_start && b->probe_up_rounds < 12) b->probe_up_rounds++;
}

static void adapt_upper_bounds(struct tcp_pcb *pcb, const struct rate_sample *r) {
  struct bbr *b = &pcb->sender.bbr;
  if (b->ack_phase == ACKS_STARTING && b->round_start) b->ack_phase = ACKS_FEEDBACK;
  if (b->ack_phase == ACKS_STOPPING && b->round_start) {
    b->is_probing = 0;
    b->ack_phase = ACKS_INIT;
    /* A cycle is over: what the one before last said is forgotten. */
    if (is_in_cycle(b) && !r->is_app_limited && b->rates[1] > 0) {
      b->rates[0] = b->rates[1];
      b->rates[1] = 0;
    }
  }
  if (b->in_flight_high == UNBOUNDED || !r->has_segment) return;
  if (r->in_flight > b->in_flight_high && !is_lossy(pcb, pcb->sender.lost_bytes - r->prior_lost, r->in_flight))
    b->in_flight_high = r->in_flight;
  if (b->mode == PROBE_UP) raise_upper_bound(pcb, r);
}

static void step_through_cycle(struct tcp_pcb *pcb, const struct rate_sample *r, uint32_t now) {
  struct sender *s = &pcb->sender;
  struct bbr *b = &s->bbr;
  float path = product(b, largest_rate(b));
  if (!b->is_full) return;
  adapt_upper_bounds(pcb, r);
  switch (b->mode) {
  case PROBE_DOWN:
  case PROBE_CRUISE:
    if (is_time_to_probe(pcb, now)) {
      start_refill(s);
    } else if (b->mode == PROBE_DOWN && s->in_flight <= with_headroom(pcb) && (float)s->in_flight <= path) {
      set_mode(b, PROBE_CRUISE, 1.0f, WINDOW_GAIN);
    }
    break;
  case PROBE_REFILL:
    if (!b->round_start) break;
    b->is_probing = 1;
    start_up(s, now);
    break;
  case PROBE_UP:
    /* Not before a round of it was acknowledged: where processors are what is short, round trips are long and much is
     * on its way whatever is sent. */
    if (b->ack_phase == ACKS_FEEDBACK && s->in_flight >= window_for(pcb, UP_GAIN * path)) start_down(s, now);
    break;
  default:
    break;
  }
}

/* ---- STARTUP and DRAIN: §5.3.1, §5.3.2 ---- */

static void look_for_full_rate(const struct rate_sample *r, struct bbr *b) {
  if (b->is_full || !b->round_start || r->is_app_limited) return;
  if (largest_rate(b) >= b->full_rate * FULL_GROWTH) {
    b->full_rate = largest_rate(b);
    b->full_count = 0;
  } else if (++b->full_count >= FULL_ROUNDS) {
    b->is_full = 1;
  }
}

static void step_through_startup(struct tcp_pcb *pcb, const struct rate_sample *r, uint32_t now) {
  struct sender *s = &pcb->sender;
  struct bbr *b = &s->bbr;
  look_for_full_rate(r, b);
  if (b->mode == STARTUP && b->is_full) set_mode(b, DRAIN, DRAIN_GAIN, WINDOW_GAIN);
  if (b->mode == DRAIN && s->in_flight <= window_for(pcb, product(b, largest_rate(b)))) start_down(s, now);
}

/* ---- the shortest round trip: §5.3.4 ---- */

static uint32_t rtt_window(const struct tcp_pcb *pcb) {
  const struct bbr *b = &pcb->sender.bbr;
  return LWIP_MAX((uint32_t)(PROBE_RTT_GAIN * product(b, rate_of(b))), (uint32_t)(LEAST_SEGMENTS * pcb->mss));
}

static void leave_probe_rtt(struct tcp_pcb *pcb, uint32_t now) {
  struct sender *s = &pcb->sender;
  struct bbr *b = &s->bbr;
  b->probed_rtt_at = now;
  pcb->cwnd = LWIP_MAX(pcb->cwnd, b->saved_window);
  forget_lower_bounds(b);
  if (b->is_full) {
    start_down(s, now);
    set_mode(b, PROBE_CRUISE, 1.0f, WINDOW_GAIN);
  } else {
    set_mode(b, STARTUP, STARTUP_GAIN, WINDOW_GAIN);
  }
}

static void step_through_probe_rtt(struct tcp_pcb *pcb, int has_expired, uint32_t now) {
  struct sender *s = &pcb->sender;
  struct bbr *b = &s->bbr;
  if (b->mode != PROBE_RTT) {
    if (!has_expired || b->is_restart) return;
    b->saved_window = pcb->cwnd;
    b->rtt_done_at = 0;
    b->ack_phase = ACKS_STOPPING;
    start_round(s);
    set_mode(b, PROBE_RTT, 1.0f, PROBE_RTT_GAIN);
  }
  s->app_limited = LWIP_MAX(s->delivered + s->in_flight, 1u);
  if (b->rtt_done_at == 0) {
    if (s->in_flight > rtt_window(pcb)) return;
    b->rtt_done_at = (now + PROBE_RTT_US) | 1u;
    b->rtt_round_done = 0;
    start_round(s);
    return;
  }
  if (b->round_start) b->rtt_round_done = 1;
  if (b->rtt_round_done && is_after(now, b->rtt_done_at, 0)) leave_probe_rtt(pcb, now);
}

static void measure_rtt(struct tcp_pcb *pcb, const struct rate_sample *r, uint32_t now) {
  struct bbr *b = &pcb->sender.bbr;
  int has_expired = is_after(now, b->probed_rtt_at, PROBE_RTT_EVERY_US);
  if (r->rtt_us != 0 && (b->probed_rtt_us == 0 || r->rtt_us < b->probed_rtt_us || has_expired)) {
    b->probed_rtt_us = r->rtt_us;
    b->probed_rtt_at = now;
  }
  if (b->probed_rtt_us != 0 &&
      (b->min_rtt_us == 0 || b->probed_rtt_us < b->min_rtt_us || is_after(now, b->min_rtt_at, MIN_RTT_US))) {
    b->min_rtt_us = b->probed_rtt_us;
    b->min_rtt_at = b->probed_rtt_at;
  }
  step_through_probe_rtt(pcb, has_expired && b->min_rtt_us != 0, now);
}

/* ---- the rate, and what bounds it: §5.5 ---- */

static void count_rounds(struct sender *s, const struct rate_sample *r) {
  struct bbr *b = &s->bbr;
  b->round_start = 0;
  if (!r->has_segment || (int32_t)(r->prior_delivered - b->round_end) < 0) return;
  start_round(s);
  b->round_start = 1;
  b->rounds++;
  if (b->rounds_since_probe < 0xff) b->rounds_since_probe++;
}

/* §5.5.10.3: in a round with too many losses, what was delivered is taken for what the path carries. */
static void adapt_lower_bounds(struct tcp_pcb *pcb) {
  struct bbr *b = &pcb->sender.bbr;
  if (b->mode == PROBE_REFILL || b->mode == PROBE_UP || b->mode == STARTUP) return;
  if (!is_lossy(pcb, b->round_lost, b->in_flight_latest + b->round_lost)) return;
  b->rate_bound = larger(b->rate_latest, BETA * (b->rate_bound != 0 ? b->rate_bound : largest_rate(b)));
  b->in_flight_low = LWIP_MAX(b->in_flight_latest,
                              (uint32_t)(BETA * (float)LWIP_MIN(b->in_flight_low, pcb->cwnd)));
}

static void measure_rate(struct tcp_pcb *pcb, const struct rate_sample *r) {
  struct sender *s = &pcb->sender;
  struct bbr *b = &s->bbr;
  int is_loss_round;
  count_rounds(s, r);
  if (r->rate > 0 && (r->rate >= largest_rate(b) || !r->is_app_limited)) b->rates[1] = larger(b->rates[1], r->rate);
  b->rate_latest = larger(b->rate_latest, r->rate);
  b->in_flight_latest = LWIP_MAX(b->in_flight_latest, r->delivered);
  is_loss_round = r->has_segment && (int32_t)(r->prior_delivered - b->loss_round_end) >= 0;
  if (!is_loss_round) return;
  b->loss_round_end = s->delivered;
  if (!b->is_full && b->loss_events >= FULL_LOSSES && is_lossy(pcb, b->round_lost, b->in_flight_latest + b->round_lost)) {
    b->is_full = 1;
    b->in_flight_high = LWIP_MAX(window_for(pcb, product(b, largest_rate(b))), b->in_flight_latest);
  }
  adapt_lower_bounds(pcb);
  b->average_lost += ((float)b->round_lost - b->average_lost) / CHANCE_ROUNDS;
  b->average_delivered += ((float)b->in_flight_latest - b->average_delivered) / CHANCE_ROUNDS;
  b->round_lost = 0;
  b->loss_events = 0;
  b->rate_latest = r->rate;
  b->in_flight_latest = r->delivered;
}

/* §5.5.9: acknowledgements that come in bursts leave the path idle where the window has no room for them. */
static void measure_bursts(struct tcp_pcb *pcb, const struct rate_sample *r, uint32_t now) {
  struct bbr *b = &pcb->sender.bbr;
  float expected = rate_of(b) * (float)(now - b->extra_at), extra, most;
  if (b->extra_at == 0 || (float)b->extra_bytes <= expected) {
    b->extra_at = now;
    b->extra_bytes = 0;
    expected = 0;
  }
  b->extra_bytes += r->acked;
  extra = (float)b->extra_bytes - expected;
  if (extra > (float)pcb->cwnd) extra = (float)pcb->cwnd;
  most = larger(product(b, rate_of(b)), MOST_EXTRA);
  if (extra > most) extra = most;
  if (b->round_start && b->rounds - b->extra_round >= EXTRA_ROUNDS) {
    b->extra[0] = b->extra[1];
    b->extra[1] = 0;
    b->extra_round = b->rounds;
  }
  if (extra > (float)b->extra[1]) b->extra[1] = (uint32_t)extra;
}

/* §5.5.10.2: a segment that was sent while it probed is lost. */
void bbr_lost(struct tcp_pcb *pcb, const struct tcp_seg *seg) {
  struct sender *s = &pcb->sender;
  struct bbr *b = &s->bbr;
  b->round_lost += TCP_TCPLEN(seg);
  if (b->loss_events < 0xff) b->loss_events++;
  if (!b->is_probing || !is_lossy(pcb, s->lost_bytes - seg->lost_bytes, seg->in_flight)) return;
  b->is_probing = 0;
  if (!seg->is_app_limited) {
    float target = BETA * LWIP_MIN(product(b, rate_of(b)), (float)pcb->cwnd);
    float held = (is_path_lossy(b) ? BETA : 1.0f) * (float)seg->in_flight;
    b->in_flight_high = (uint32_t)larger(held, target);
  }
  if (b->mode == PROBE_UP) start_down(s, now_us());
}

/* ---- what comes of it: §5.6 ---- */

static void set_pacing(struct bbr *b) {
  float pacing = PACING_MARGIN * b->gain * rate_of(b);
  if (pacing > 0 && (b->is_full || pacing > b->pacing)) b->pacing = pacing;
}

static void set_window(struct tcp_pcb *pcb, const struct rate_sample *r) {
  struct sender *s = &pcb->sender;
  struct bbr *b = &s->bbr;
  float bytes = b->window_gain * product(b, rate_of(b)) + (float)LWIP_MAX(b->extra[0], b->extra[1]);
  uint32_t most = window_for(pcb, bytes), cap = UNBOUNDED;
  uint32_t window = pcb->cwnd;
  if (b->is_full) window = LWIP_MIN(window + r->acked, most);
  else if (window < most || s->delivered < INITIAL_SEGMENTS * pcb->mss) window += r->acked;
  if (is_in_cycle(b) && b->mode != PROBE_CRUISE) cap = b->in_flight_high;
  else if (b->mode == PROBE_RTT || b->mode == PROBE_CRUISE) cap = with_headroom(pcb);
  cap = LWIP_MIN(cap, b->in_flight_low);
  if (b->mode == PROBE_RTT) cap = LWIP_MIN(cap, rtt_window(pcb));
  window = LWIP_MIN(window, cap);
  window = LWIP_MAX(window, (uint32_t)(LEAST_SEGMENTS * pcb->mss));
  pcb->cwnd = LWIP_MIN(window, TCP_SND_BUF);
}

void bbr_acked(struct tcp_pcb *pcb, const struct rate_sample *r, uint32_t now) {
  struct bbr *b = &pcb->sender.bbr;
  if (r->acked == 0 && r->lost == 0) return;
  measure_rate(pcb, r);
  measure_bursts(pcb, r, now);
  step_through_startup(pcb, r, now);
  step_through_cycle(pcb, r, now);
  measure_rtt(pcb, r, now);
  set_pacing(b);
  set_window(pcb, r);
  if (b->round_start) b->is_window_used = 0;
  if (r->acked > 0) b->is_restart = 0;
}

void bbr_opened(struct tcp_pcb *pcb, uint32_t now) {
  struct sender *s = &pcb->sender;
  struct bbr *b = &s->bbr;
  pcb->cwnd = INITIAL_SEGMENTS * pcb->mss;
  set_mode(b, STARTUP, STARTUP_GAIN, WINDOW_GAIN);
  b->in_flight_high = UNBOUNDED;
  forget_lower_bounds(b);
  b->probed_rtt_us = b->min_rtt_us = s->srtt_us;
  b->probed_rtt_at = b->min_rtt_at = b->cycle_at = now;
  b->pacing = STARTUP_GAIN * (float)pcb->cwnd / (float)LWIP_MAX(s->srtt_us, 1000u);
}

/* §5.4.1: after a pause the rate is what it was, and neither probed nor drained. */
void bbr_sent_idle(struct tcp_pcb *pcb, uint32_t now) {
  struct sender *s = &pcb->sender;
  struct bbr *b = &s->bbr;
  if (s->app_limited == 0) return;
  b->is_restart = 1;
  b->extra_at = now;
  b->extra_bytes = 0;
  if (is_in_cycle(b)) b->pacing = LWIP_MAX(PACING_MARGIN * rate_of(b), b->pacing);
  else if (b->mode == PROBE_RTT && b->rtt_done_at != 0 && is_after(now, b->rtt_done_at, 0)) leave_probe_rtt(pcb, now);
}

/* §5.6.4.4: after a timeout nothing is known to be on its way. */
void bbr_expired(struct tcp_pcb *pcb) {
  struct bbr *b = &pcb->sender.bbr;
  b->saved_window = LWIP_MAX(b->saved_window, pcb->cwnd);
  pcb->cwnd = pcb->mss;
}
