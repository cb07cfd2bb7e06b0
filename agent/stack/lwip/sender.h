/* Sender: what lwIP's TCP lacks when it sends. Called from lwip.patch.
 *   sender.c    round-trip times and the retransmission timer (RFC 6298), pacing, what may be queued, timers
 *   recovery.c  which segments are on their way, arrived or lost (SACK; RACK-TLP, RFC 8985)
 *   bbr.c       how much may be on its way, and how fast (BBR, draft-ietf-ccwg-bbr)
 *   cubic.c     the same as most of the Internet has it (CUBIC, RFC 9438), on request
 * Times are microseconds in 32 bits: differences count, and 0 is never a time. */
#pragma once
#include <stdint.h>

struct tcp_pcb;
struct tcp_seg;

/* Segments by the order of their last transmission, or of the discovery of their loss. */
struct segments {
  struct tcp_seg *first, *last;
};

/* What one acknowledgement tells of the path (draft-cheng-iccrg-delivery-rate-estimation). */
struct rate_sample {
  uint32_t acked;           /* bytes that it tells the arrival of */
  uint32_t lost;            /* bytes that it proves lost */
  uint32_t delivered;       /* bytes over the interval */
  uint32_t prior_delivered; /* when the latest segment that arrived was sent; has_segment says if there is one */
  uint32_t prior_at;
  uint32_t in_flight;       /* after that segment was sent */
  uint32_t prior_lost;
  uint32_t send_us;         /* over which what is counted was sent */
  uint32_t rtt_us;          /* 0: not measured */
  uint32_t order;           /* of that segment */
  float rate;               /* bytes in a microsecond; 0: not measured */
  uint8_t has_segment;
  uint8_t is_app_limited;
};

struct bbr {
  uint8_t mode;
  uint8_t ack_phase;
  uint8_t is_full;          /* the rate of the path was reached once */
  uint8_t full_count;
  uint8_t round_start;
  uint8_t is_probing;       /* losses tell of what was sent while more was probed for */
  uint8_t loss_events;      /* of the round */
  uint8_t rounds_since_probe;
  uint8_t probe_up_rounds;
  uint8_t rtt_round_done;
  uint8_t is_restart;       /* after a pause */
  uint8_t is_window_used;   /* the window hindered sending in this round */
  float full_rate;
  float rates[2];           /* the largest of the last cycle and of this one */
  float rate_bound;         /* 0: none */
  float rate_latest;
  float pacing;             /* bytes in a microsecond; 0: not yet known */
  float gain;               /* of pacing */
  float window_gain;
  uint32_t in_flight_high;  /* bytes; UNBOUNDED: not yet known */
  uint32_t in_flight_low;
  uint32_t in_flight_latest;
  uint32_t min_rtt_us, min_rtt_at;
  uint32_t probed_rtt_us, probed_rtt_at;
  uint32_t rtt_done_at;
  uint32_t round_end;       /* in bytes delivered */
  uint32_t rounds;
  uint32_t loss_round_end;
  uint32_t round_lost;
  float average_lost;       /* bytes of a round */
  float average_delivered;
  uint32_t cycle_at;
  uint32_t probe_wait_us;
  uint32_t saved_window;
  uint32_t extra[2];        /* bytes acknowledged at once beyond the rate: of the last rounds, and of these */
  uint32_t extra_at, extra_bytes, extra_round;
};

struct cubic {
  float largest;            /* W_max, bytes */
  float reno;               /* W_est, bytes */
  float plateau;            /* K, seconds */
  uint32_t epoch_at;        /* 0: none */
};

/* Of each connection; zero in the beginning. */
struct sender {
  uint32_t srtt_us;         /* 0: not measured yet */
  uint32_t rttvar_us;
  uint32_t opened_at;       /* when the SYN was sent; 0: not timed */
  uint32_t latest_rtt_us;

  struct segments out;      /* on their way */
  struct segments lost;     /* to be sent again */
  struct tcp_seg *last;     /* of the list of what is not acknowledged */
  struct tcp_seg *sacked;   /* near the highest segment that a selective acknowledgement told of */
  uint32_t in_flight;       /* bytes */
  uint32_t order;           /* transmissions so far */

  uint32_t delivered;       /* bytes, all in all */
  uint32_t delivered_at;
  uint32_t lost_bytes;
  uint32_t first_sent_at;
  uint32_t app_limited;     /* in bytes delivered: until then there was too little to send; 0: enough */

  uint32_t rack_order;      /* the latest transmission that arrived */
  uint32_t rack_rtt_us;
  uint32_t highest;         /* the highest sequence number that arrived */
  uint32_t recover;         /* the sequence number that ends the recovery */
  uint32_t seen[4][2];      /* SACK blocks of the last acknowledgement */
  uint32_t dsack_round;     /* in bytes delivered */
  uint32_t sacked_count;    /* segments above the first that is missing */
  uint8_t reorder_steps;    /* of the reordering window: quarters of a round trip */
  uint8_t reorder_persist;  /* recoveries that it lasts */
  uint8_t is_reordering;    /* the path was seen to do it */
  uint8_t is_probing_tail;  /* a probe of the tail is under way, up to tail_end */
  uint8_t may_probe;        /* the next transmission is a probe */
  uint32_t tail_end;

  uint8_t is_wanted;        /* somebody waits for room to queue more */
  int32_t allowance;        /* bytes that may be sent now */
  uint32_t allowance_at;
  uint32_t pace_at, rack_at, tail_at; /* timers; 0: none */

  uint8_t is_cubic;
  struct bbr bbr;
  struct cubic cubic;
};

/* A block of the SACK option of the segment that is looked at. */
struct sack_block {
  uint32_t left, right;
};
#define SACK_BLOCKS 4
extern struct sack_block sack_blocks[SACK_BLOCKS];
extern uint8_t sack_block_count;
/* That segment tells that something arrived twice (RFC 2883). */
extern uint8_t has_dsack;
extern struct rate_sample rate_sample;

/* Bytes: the receive window a connection begins with. */
extern uint16_t initial_window;

/* Called by lwIP. */
void sender_sent(struct tcp_pcb *pcb, struct tcp_seg *seg);
void sender_opened(struct tcp_pcb *pcb);
void sender_ack_begins(struct tcp_pcb *pcb);
void sender_segment_acked(struct tcp_pcb *pcb, struct tcp_seg *seg);
void sender_ack_ends(struct tcp_pcb *pcb, uint32_t acked);
int sender_expired(struct tcp_pcb *pcb);
void sender_output_done(struct tcp_pcb *pcb);
int sender_fits(struct tcp_pcb *pcb, uint32_t bytes);
int sender_may_send(struct tcp_pcb *pcb, uint32_t bytes);
void sender_gone(struct tcp_pcb *pcb);
/* All that is on its way goes back to what is to be sent. */
void sender_withdraw(struct tcp_pcb *pcb);
/* 0 where the hook of incoming connections refuses another one. */
int may_open(const struct tcp_pcb *pcb);

/* glue.c */
void tell_of_room(struct tcp_pcb *pcb);

/* sender.c */
uint32_t now_us(void);
uint32_t sender_room(const struct tcp_pcb *pcb);
void sender_queued(uint32_t bytes);
void sender_set_timer(uint32_t *timer, uint32_t at);

/* recovery.c: */
void recovery_sent(struct tcp_pcb *pcb, struct tcp_seg *seg, uint32_t now);
void recovery_acked(struct tcp_pcb *pcb, struct tcp_seg *seg, uint32_t now);
void recovery_update(struct tcp_pcb *pcb, uint32_t acked, uint32_t now);
void recovery_arm_tail(struct tcp_pcb *pcb, uint32_t now);
void recovery_all_lost(struct tcp_pcb *pcb);
void recovery_timer(struct tcp_pcb *pcb, uint32_t now);
void recovery_forget(struct tcp_pcb *pcb);

/* bbr.c */
void bbr_opened(struct tcp_pcb *pcb, uint32_t now);
void bbr_sent_idle(struct tcp_pcb *pcb, uint32_t now);
void bbr_lost(struct tcp_pcb *pcb, const struct tcp_seg *seg);
void bbr_acked(struct tcp_pcb *pcb, const struct rate_sample *sample, uint32_t now);
void bbr_expired(struct tcp_pcb *pcb);

/* cubic.c */
void cubic_opened(struct tcp_pcb *pcb);
void cubic_lost(struct tcp_pcb *pcb);
void cubic_acked(struct tcp_pcb *pcb, const struct rate_sample *sample, uint32_t now);
void cubic_expired(struct tcp_pcb *pcb);
