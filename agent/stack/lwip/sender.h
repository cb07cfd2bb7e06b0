/* Sender: what lwIP's TCP lacks when it sends. Round-trip times in microseconds, loss recovery by selective
 * acknowledgements (RFC 6675, with losses found in order of transmission as in RFC 8985), CUBIC (RFC 9438), a bound
 * on what is in flight by measured rate and round-trip time, and pacing. As in BBR (draft-cardwell-iccrg-bbr), a few
 * losses without a queue are chance, and do not narrow the window below what the path was seen to carry. Called from
 * lwip.patch. */
#pragma once
#include <stdint.h>

/* Of each connection; zero in the beginning. */
struct sender {
  uint32_t srtt_us;      /* 0: not measured yet */
  uint32_t rttvar_us;
  uint32_t min_rtt_us;
  uint32_t min_rtt_at;   /* when it was measured, microseconds */
  uint32_t timed_at;     /* when the segment that is timed was sent */
  uint32_t sent;         /* transmissions so far: each segment notes the number of its last */
  uint32_t arrived;      /* the latest transmission known to have arrived */
  uint32_t recover;      /* the sequence number that ends the recovery */
  uint32_t round_end;    /* the sequence number that ends the round of rate measurement */
  uint32_t round_at;
  uint32_t round_bytes;
  uint32_t round_lost;   /* bytes */
  uint8_t is_lossy;      /* losses of the last round were more than chance */
  float rate;            /* bytes in a microsecond, the largest of late rounds */
  float largest;         /* CUBIC's W_max, bytes */
  float reno;            /* CUBIC's W_est, bytes */
  float plateau;         /* CUBIC's K, seconds */
  float from;            /* cwnd when the epoch began, bytes */
  uint32_t epoch_at;     /* 0: none */
  int32_t allowance;     /* bytes that may be sent now */
  uint32_t allowance_at;
  uint8_t is_held;       /* waits for its allowance to grow */
};

struct tcp_pcb;
struct tcp_seg;

/* A block of the SACK option of the segment that is looked at. */
struct sack_block {
  uint32_t left, right;
};
#define SACK_BLOCKS 4
extern struct sack_block sack_blocks[SACK_BLOCKS];
extern uint8_t sack_block_count;

/* Bytes: the receive window a connection begins with. */
extern uint16_t initial_window;
/* Connections that wait for their allowance. */
extern uint32_t held_senders;

void sender_sent(struct tcp_pcb *pcb, struct tcp_seg *seg);
void sender_segment_acked(struct tcp_pcb *pcb, const struct tcp_seg *seg);
void sender_acked(struct tcp_pcb *pcb, uint32_t acked);
void sender_look_for_losses(struct tcp_pcb *pcb);
void sender_timed(struct tcp_pcb *pcb);
void sender_timed_out(struct tcp_pcb *pcb);
void sender_gone(struct tcp_pcb *pcb);
int sender_may_send(struct tcp_pcb *pcb, uint32_t bytes);
uint32_t sender_bound(const struct tcp_pcb *pcb);
uint32_t sender_pipe(const struct tcp_pcb *pcb);
/* 0 where the hook of incoming connections refuses another one. */
int may_open(const struct tcp_pcb *pcb);
