/* Recovery: which segments are on their way, have arrived, or are lost. Losses are found in time (RACK-TLP, RFC 8985),
 * by selective acknowledgements (RFC 2018); without them three duplicate acknowledgements tell, and partial ones
 * (RFC 6582). Each transmission notes what was delivered before it, so that an acknowledgement makes a sample of the
 * rate (draft-cheng-iccrg-delivery-rate-estimation). */
#include <string.h>
#include "sender.h"
#include "lwip/priv/tcp_priv.h"

/* RFC 8985 §6.2: so many segments that arrived above a hole make waiting for disorder needless, as long as none was
 * seen. */
#define DUPLICATE_THRESHOLD 3
/* RFC 8985 §6.2, step 4: recoveries that a wider reordering window lasts. */
#define REORDER_PERSIST 16
/* RFC 8985 §7.2: what an acknowledgement of a single segment may wait for, microseconds; Linux's maximum. */
#define DELAYED_ACK_US 200000u
/* RFC 8985 §7.2, PTO without a round-trip time, microseconds. */
#define FIRST_PROBE_US 1000000u

static uint32_t first_of(const struct tcp_seg *seg) {
  return lwip_ntohl(seg->tcphdr->seqno);
}

static uint32_t end_of(const struct tcp_seg *seg) {
  return first_of(seg) + TCP_TCPLEN(seg);
}

static int is_later(uint32_t a, uint32_t b) {
  return (int32_t)(a - b) > 0;
}

/* ---- lists ---- */

static void append(struct segments *list, struct tcp_seg *seg) {
  seg->older = list->last;
  seg->newer = NULL;
  if (list->last != NULL) list->last->newer = seg;
  else list->first = seg;
  list->last = seg;
}

static void take(struct segments *list, struct tcp_seg *seg) {
  if (seg->older != NULL) seg->older->newer = seg->newer;
  else list->first = seg->newer;
  if (seg->newer != NULL) seg->newer->older = seg->older;
  else list->last = seg->older;
  seg->older = seg->newer = NULL;
}

/* Takes it off the list that its state says it is on. */
static void leave(struct sender *s, struct tcp_seg *seg) {
  if (seg->state == SEG_OUT) {
    take(&s->out, seg);
    s->in_flight -= TCP_TCPLEN(seg);
  } else if (seg->state == SEG_LOST) {
    take(&s->lost, seg);
  }
}

void recovery_forget(struct tcp_pcb *pcb) {
  struct sender *s = &pcb->sender;
  memset(&s->out, 0, sizeof(s->out));
  memset(&s->lost, 0, sizeof(s->lost));
  s->last = s->sacked = NULL;
  s->in_flight = s->sacked_count = 0;
  s->rack_at = s->tail_at = 0;
  s->is_probing_tail = 0;
  memset(s->seen, 0, sizeof(s->seen));
  tcp_clear_flags(pcb, TF_INFR);
}

void recovery_sent(struct tcp_pcb *pcb, struct tcp_seg *seg, uint32_t now) {
  struct sender *s = &pcb->sender;
  leave(s, seg);
  if (s->out.first == NULL) s->first_sent_at = s->delivered_at = now;
  if (seg->state != 0 || TCP_SEQ_LT(first_of(seg), pcb->snd_nxt)) seg->was_resent = 1;
  append(&s->out, seg);
  s->in_flight += TCP_TCPLEN(seg);
  seg->state = SEG_OUT;
  seg->order = ++s->order;
  seg->sent_at = now;
  seg->first_sent_at = s->first_sent_at;
  seg->delivered = s->delivered;
  seg->delivered_at = s->delivered_at;
  seg->lost_bytes = s->lost_bytes;
  seg->in_flight = s->in_flight;
  seg->is_app_limited = s->app_limited != 0;
  if (s->tail_at == 0) recovery_arm_tail(pcb, now);
}

/* ---- what arrived ---- */

static void sample(struct sender *s, const struct tcp_seg *seg) {
  struct rate_sample *r = &rate_sample;
  if (r->has_segment && is_later(r->order, seg->order)) return;
  r->has_segment = 1;
  r->order = seg->order;
  r->prior_delivered = seg->delivered;
  r->prior_at = seg->delivered_at;
  r->in_flight = seg->in_flight;
  r->prior_lost = seg->lost_bytes;
  r->is_app_limited = seg->is_app_limited;
  r->send_us = seg->sent_at - seg->first_sent_at;
  s->first_sent_at = seg->sent_at;
}

/* RFC 8985 §6.2, steps 1 to 3, for one segment. */
static void arrived(struct tcp_pcb *pcb, struct tcp_seg *seg, uint32_t now) {
  struct sender *s = &pcb->sender;
  uint32_t rtt = LWIP_MAX(now - seg->sent_at, 1u), length = TCP_TCPLEN(seg);
  int is_latest = s->rack_order == 0 || is_later(seg->order, s->rack_order);
  s->delivered += length;
  s->delivered_at = now;
  rate_sample.acked += length;
  sample(s, seg);
  if (!seg->was_resent) {
    if (is_latest || rate_sample.rtt_us == 0) rate_sample.rtt_us = rtt;
    if (s->rack_order != 0 && TCP_SEQ_LT(end_of(seg), s->highest)) s->is_reordering = 1;
  } else if (rtt < s->bbr.min_rtt_us) {
    /* Sooner than anything can return: the first transmission arrived. */
    is_latest = 0;
  }
  if (s->rack_order == 0 || TCP_SEQ_GT(end_of(seg), s->highest)) s->highest = end_of(seg);
  if (!is_latest) return;
  s->rack_order = seg->order;
  s->rack_rtt_us = rtt;
}

void recovery_acked(struct tcp_pcb *pcb, struct tcp_seg *seg, uint32_t now) {
  struct sender *s = &pcb->sender;
  if (s->sacked == seg) s->sacked = NULL;
  if (s->last == seg) s->last = NULL;
  if (seg->state == SEG_SACKED) {
    if (s->sacked_count > 0) s->sacked_count--;
    return;
  }
  if (seg->state == 0) return;
  leave(s, seg);
  arrived(pcb, seg, now);
  seg->state = 0;
}

static void mark(struct tcp_pcb *pcb, uint32_t left, uint32_t right, uint32_t now) {
  struct sender *s = &pcb->sender;
  struct tcp_seg *seg = s->sacked != NULL && TCP_SEQ_LEQ(first_of(s->sacked), left) ? s->sacked : pcb->unacked;
  struct tcp_seg *reached = NULL;
  for (; seg != NULL && TCP_SEQ_LT(first_of(seg), right); seg = seg->next) {
    reached = seg;
    if (TCP_SEQ_LT(first_of(seg), left) || TCP_SEQ_GT(end_of(seg), right) || seg->state == SEG_SACKED) continue;
    leave(s, seg);
    arrived(pcb, seg, now);
    seg->state = SEG_SACKED;
    s->sacked_count++;
  }
  if (reached != NULL && (s->sacked == NULL || TCP_SEQ_GT(first_of(reached), first_of(s->sacked)))) s->sacked = reached;
}

/* Blocks, or parts of them, that the acknowledgement before told of are known. */
static void mark_blocks(struct tcp_pcb *pcb, uint32_t now) {
  struct sender *s = &pcb->sender;
  uint8_t i, j;
  for (i = 0; i < sack_block_count; i++) {
    uint32_t left = sack_blocks[i].left, right = sack_blocks[i].right;
    for (j = 0; j < SACK_BLOCKS; j++) {
      if (s->seen[j][0] == s->seen[j][1]) continue;
      if (s->seen[j][0] == left && TCP_SEQ_LEQ(s->seen[j][1], right)) left = s->seen[j][1];
      else if (s->seen[j][1] == right && TCP_SEQ_GEQ(s->seen[j][0], left)) right = s->seen[j][0];
    }
    if (TCP_SEQ_LT(left, right)) mark(pcb, left, right, now);
  }
  for (i = 0; i < SACK_BLOCKS; i++) {
    s->seen[i][0] = i < sack_block_count ? sack_blocks[i].left : 0;
    s->seen[i][1] = i < sack_block_count ? sack_blocks[i].right : 0;
  }
}

/* ---- what is lost ---- */

static void lose(struct tcp_pcb *pcb, struct tcp_seg *seg) {
  struct sender *s = &pcb->sender;
  leave(s, seg);
  append(&s->lost, seg);
  seg->state = SEG_LOST;
  s->lost_bytes += TCP_TCPLEN(seg);
  rate_sample.lost += TCP_TCPLEN(seg);
  if (s->is_cubic) cubic_lost(pcb);
  else bbr_lost(pcb, seg);
  if (pcb->flags & TF_INFR) return;
  tcp_set_flags(pcb, TF_INFR);
  s->recover = pcb->snd_nxt;
}

/* RFC 8985 §6.2, step 4. */
static uint32_t reordering_window(const struct tcp_pcb *pcb) {
  const struct sender *s = &pcb->sender;
  uint32_t window;
  if (!s->is_reordering && ((pcb->flags & TF_INFR) || s->sacked_count >= DUPLICATE_THRESHOLD)) return 0;
  window = s->bbr.min_rtt_us / 4 * (1u + s->reorder_steps);
  return LWIP_MIN(window, s->srtt_us);
}

/* RFC 8985 §6.2, step 5: lost is what was sent before something that arrived, and longer ago than that took. */
static void look_for_losses(struct tcp_pcb *pcb, uint32_t now) {
  struct sender *s = &pcb->sender;
  struct tcp_seg *seg, *next;
  s->rack_at = 0;
  if (!(pcb->flags & TF_SACK) || s->rack_order == 0) return;
  for (seg = s->out.first; seg != NULL && is_later(s->rack_order, seg->order); seg = next) {
    int32_t wait = (int32_t)(seg->sent_at + s->rack_rtt_us + reordering_window(pcb) - now);
    next = seg->newer;
    if (wait > 0) {
      sender_set_timer(&s->rack_at, now + (uint32_t)wait);
      return;
    }
    lose(pcb, seg);
  }
}

/* RFC 8985 §6.2, step 4: a duplicate that the receiver reports means that the window was too narrow. */
static void learn_of_duplicates(struct sender *s) {
  if (!has_dsack || (s->dsack_round != 0 && is_later(s->dsack_round, s->delivered))) return;
  s->dsack_round = (s->delivered + s->in_flight) | 1u;
  if (s->reorder_steps < 15) s->reorder_steps++;
  s->reorder_persist = REORDER_PERSIST;
}

/* Of a peer without selective acknowledgements. */
static void count_duplicates(struct tcp_pcb *pcb, uint32_t acked) {
  struct tcp_seg *first = pcb->unacked;
  int is_partial = (pcb->flags & TF_INFR) && acked > 0;
  if ((pcb->flags & TF_SACK) || first == NULL || first->state != SEG_OUT || first->was_resent) return;
  if (is_partial || (!(pcb->flags & TF_INFR) && pcb->dupacks >= DUPLICATE_THRESHOLD)) lose(pcb, first);
}

static void end_recovery(struct tcp_pcb *pcb) {
  struct sender *s = &pcb->sender;
  if (!(pcb->flags & TF_INFR) || TCP_SEQ_LT(pcb->lastack, s->recover)) return;
  tcp_clear_flags(pcb, TF_INFR);
  if (s->reorder_persist > 0 && --s->reorder_persist == 0) s->reorder_steps = 0;
}

void recovery_update(struct tcp_pcb *pcb, uint32_t acked, uint32_t now) {
  struct sender *s = &pcb->sender;
  struct rate_sample *r = &rate_sample;
  if (pcb->unacked == NULL) s->sacked_count = 0;
  if (pcb->flags & TF_SACK) {
    mark_blocks(pcb, now);
    learn_of_duplicates(s);
  }
  end_recovery(pcb);
  if (s->is_probing_tail && TCP_SEQ_GEQ(pcb->lastack, s->tail_end)) s->is_probing_tail = 0;
  look_for_losses(pcb, now);
  count_duplicates(pcb, acked);
  if (s->app_limited != 0 && is_later(s->delivered, s->app_limited)) s->app_limited = 0;
  if (!r->has_segment) return;
  r->delivered = s->delivered - r->prior_delivered;
  r->send_us = LWIP_MAX(r->send_us, s->delivered_at - r->prior_at);
  /* Faster than anything can return: not to be believed. */
  if (r->send_us > 0 && r->send_us >= s->bbr.min_rtt_us) r->rate = (float)r->delivered / (float)r->send_us;
}

/* The retransmission timer: RFC 8985 §6.3. A first segment that arrived and is not acknowledged was dropped by the
 * receiver, with all that it holds (RFC 2018 §8). */
void recovery_all_lost(struct tcp_pcb *pcb) {
  struct sender *s = &pcb->sender;
  struct tcp_seg *seg;
  int was_dropped = pcb->unacked->state == SEG_SACKED;
  memset(&rate_sample, 0, sizeof(rate_sample));
  memset(&s->lost, 0, sizeof(s->lost));
  if (was_dropped) s->sacked_count = 0;
  for (seg = pcb->unacked; seg != NULL; seg = seg->next) {
    if (seg->state == SEG_SACKED && !was_dropped) continue;
    if (seg->state == SEG_LOST) append(&s->lost, seg);
    else lose(pcb, seg);
  }
  memset(s->seen, 0, sizeof(s->seen));
  tcp_set_flags(pcb, TF_INFR);
  s->recover = pcb->snd_nxt;
  s->rack_at = s->tail_at = 0;
  s->is_probing_tail = 0;
}

/* ---- the tail ---- */

/* RFC 8985 §7.2: the loss of the last segments is told by no acknowledgement; a probe makes the peer send one. */
void recovery_arm_tail(struct tcp_pcb *pcb, uint32_t now) {
  struct sender *s = &pcb->sender;
  uint32_t wait = s->srtt_us == 0 ? FIRST_PROBE_US : 2 * s->srtt_us;
  s->tail_at = 0;
  if (!(pcb->flags & TF_SACK) || (pcb->flags & TF_INFR) || s->is_probing_tail || s->out.first == NULL) return;
  if (s->out.first == s->out.last) wait += DELAYED_ACK_US;
  sender_set_timer(&s->tail_at, now + LWIP_MAX(wait, 2000u));
}

static void probe_tail(struct tcp_pcb *pcb) {
  struct sender *s = &pcb->sender;
  struct tcp_seg *last = s->last, *next = pcb->unsent;
  s->tail_at = 0;
  if ((pcb->flags & TF_INFR) || s->out.first == NULL) return;
  s->is_probing_tail = 1;
  if (next == NULL || first_of(next) - pcb->lastack + next->len > pcb->snd_wnd) {
    if (last == NULL || last->state != SEG_OUT) return;
    /* It is sent once more, and yet not known to be lost. */
    leave(s, last);
    append(&s->lost, last);
    last->state = SEG_LOST;
  }
  s->may_probe = 1;
  pcb->rtime = 0;
  tcp_output(pcb);
  s->tail_end = pcb->snd_nxt;
}

void recovery_timer(struct tcp_pcb *pcb, uint32_t now) {
  struct sender *s = &pcb->sender;
  memset(&rate_sample, 0, sizeof(rate_sample));
  if (s->rack_at != 0 && !is_later(s->rack_at, now)) {
    look_for_losses(pcb, now);
    tcp_output(pcb);
  }
  if (s->tail_at != 0 && !is_later(s->tail_at, now)) probe_tail(pcb);
}
