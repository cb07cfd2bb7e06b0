/* Glue: lwIP as a module that JavaScript calls and is called by. A connection is a struct of ours that lives until
 * JavaScript lets go of it, so that no pointer to lwIP's own, which come and go by themselves, ever leaves here.
 * JavaScript never calls back into the module from within an import. */
#include <string.h>
#include "lwip/icmp.h"
#include "lwip/inet_chksum.h"
#include "lwip/init.h"
#include "lwip/ip.h"
#include "lwip/ip6_frag.h"
#include "lwip/netif.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/raw.h"
#include "lwip/timeouts.h"

#define IMPORT(name) __attribute__((import_module("env"), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))

#define PACKET_BYTES 65600
#define UDP_HEADER 8
#define ICMP_HEADER 8
/* Of an ICMP error: what is quoted of the packet that caused it. */
#define QUOTE_BYTES 548

struct connection {
  struct tcp_pcb *pcb; /* NULL: gone */
  uint32_t window;     /* bytes of the receive window that were ever granted */
  uint8_t is_unreachable;
};

/* Why a connection ended by itself. */
enum { TIMED_OUT = 1, RESET = 2, CLOSED_BY_BOTH = 3, UNREACHABLE = 4 };
/* What becomes of a datagram. */
enum { NOBODY_LISTENS = 0, TAKEN = 1 };

IMPORT("now") double js_now(void);
IMPORT("output") void js_output(const void *packet, uint32_t length);
IMPORT("accepts") int32_t js_accepts(struct connection *connection, uint32_t port);
IMPORT("connected") void js_connected(struct connection *connection);
IMPORT("received") void js_received(struct connection *connection, const void *data, uint32_t length);
IMPORT("ended") void js_ended(struct connection *connection);
IMPORT("sent") void js_sent(struct connection *connection);
IMPORT("failed") void js_failed(struct connection *connection, uint32_t reason);
IMPORT("datagram") int32_t js_datagram(uint32_t source_port, uint32_t port, const void *data, uint32_t length);
IMPORT("refused") void js_refused(uint32_t port, uint32_t remote_port);
IMPORT("echoed") void js_echoed(uint32_t id, uint32_t sequence);

/* The addresses that a call is about, 16 bytes each, network order: IPv4 takes the first four. */
static struct {
  uint32_t family;
  uint32_t local_port, remote_port;
  uint8_t local[16], remote[16];
} endpoints;
static uint8_t packet_bytes[PACKET_BYTES];
static uint8_t data_bytes[PACKET_BYTES];
static struct netif netif;
static uint32_t most_connections, most_of_one, most_half_open, most_half_open_of_one;

u32_t sys_now(void) {
  return (u32_t)(uint64_t)js_now();
}

EXPORT("packet") void *packet(void) { return packet_bytes; }
EXPORT("data") void *data(void) { return data_bytes; }
EXPORT("endpoints") void *endpoints_of_call(void) { return &endpoints; }

static void note(uint8_t *to, const ip_addr_t *address) {
  memcpy(to, IP_IS_V6(address) ? (const void *)ip_2_ip6(address)->addr : &ip_2_ip4(address)->addr,
         IP_IS_V6(address) ? 16 : 4);
}

static ip_addr_t noted(const uint8_t *from) {
  ip_addr_t address;
  memset(&address, 0, sizeof(address));
  if (endpoints.family == 6) {
    IP_SET_TYPE_VAL(address, IPADDR_TYPE_V6);
    memcpy(ip_2_ip6(&address)->addr, from, 16);
  } else {
    IP_SET_TYPE_VAL(address, IPADDR_TYPE_V4);
    memcpy(&ip_2_ip4(&address)->addr, from, 4);
  }
  return address;
}

/* ---- packets out and in ---- */

static err_t leave(struct pbuf *p) {
  if (p->next == NULL) {
    js_output(p->payload, p->len);
  } else if (p->tot_len <= sizeof(packet_bytes)) {
    static uint8_t whole[PACKET_BYTES];
    js_output(whole, pbuf_copy_partial(p, whole, p->tot_len, 0));
  }
  return ERR_OK;
}

static err_t leave4(struct netif *n, struct pbuf *p, const ip4_addr_t *to) {
  (void)n, (void)to;
  return leave(p);
}

static err_t leave6(struct netif *n, struct pbuf *p, const ip6_addr_t *to) {
  (void)n, (void)to;
  return leave(p);
}

static err_t set_up(struct netif *n) {
  n->output = leave4;
  n->output_ip6 = leave6;
  n->flags = NETIF_FLAG_LINK_UP;
  n->name[0] = 'n';
  n->name[1] = 'x';
  return ERR_OK;
}

EXPORT("input") void input(uint32_t length) {
  struct pbuf *p = length <= sizeof(packet_bytes) && length <= 0xffff
                     ? pbuf_alloc(PBUF_RAW, (u16_t)length, PBUF_RAM) : NULL;
  if (p == NULL) return;
  memcpy(p->payload, packet_bytes, length);
  if (netif.input(p, &netif) != ERR_OK) pbuf_free(p);
}

EXPORT("timers") void timers(void) { sys_check_timeouts(); }
EXPORT("next_timer") uint32_t next_timer(void) { return sys_timeouts_sleeptime(); }

/* ---- ICMP ---- */

static void put16(uint8_t *at, uint32_t number) {
  at[0] = (uint8_t)(number >> 8);
  at[1] = (uint8_t)number;
}

static void send_icmp(struct pbuf *p, const ip_addr_t *from, const ip_addr_t *to) {
  uint8_t *icmp = p->payload;
  icmp[2] = icmp[3] = 0;
  if (IP_IS_V6(to)) {
    uint16_t sum = ip6_chksum_pseudo(p, IP6_NEXTH_ICMP6, p->tot_len, ip_2_ip6(from), ip_2_ip6(to));
    memcpy(icmp + 2, &sum, 2);
    ip6_output_if_src(p, ip_2_ip6(from), ip_2_ip6(to), IP_DEFAULT_TTL, 0, IP6_NEXTH_ICMP6, &netif);
  } else {
    uint16_t sum = inet_chksum_pbuf(p);
    memcpy(icmp + 2, &sum, 2);
    ip4_output_if_src(p, ip_2_ip4(from), ip_2_ip4(to), IP_DEFAULT_TTL, 0, IP_PROTO_ICMP, &netif);
  }
  pbuf_free(p);
}

/* Tells the source of the packet that is looked at that nothing listens on its port. */
static void refuse_datagram(const uint8_t *quote, uint32_t length) {
  const ip_addr_t *from = ip_current_dest_addr(), *to = ip_current_src_addr();
  struct pbuf *p = pbuf_alloc(PBUF_IP, (u16_t)(ICMP_HEADER + length), PBUF_RAM);
  if (p == NULL) return;
  memset(p->payload, 0, ICMP_HEADER);
  memcpy((uint8_t *)p->payload + ICMP_HEADER, quote, length);
  ((uint8_t *)p->payload)[0] = IP_IS_V6(to) ? 1 : 3;
  ((uint8_t *)p->payload)[1] = IP_IS_V6(to) ? 4 : 3;
  send_icmp(p, from, to);
}

EXPORT("send_echo") int32_t send_echo(uint32_t id, uint32_t sequence, uint32_t length) {
  ip_addr_t from = noted(endpoints.local), to = noted(endpoints.remote);
  struct pbuf *p = pbuf_alloc(PBUF_IP, (u16_t)(ICMP_HEADER + length), PBUF_RAM);
  uint8_t *icmp;
  if (p == NULL) return 0;
  icmp = p->payload;
  memset(icmp, 0, ICMP_HEADER + length);
  icmp[0] = endpoints.family == 6 ? 128 : 8;
  icmp[4] = (uint8_t)(id >> 8), icmp[5] = (uint8_t)id;
  icmp[6] = (uint8_t)(sequence >> 8), icmp[7] = (uint8_t)sequence;
  send_icmp(p, &from, &to);
  return 1;
}

/* Tells `endpoints`' remote end that its datagram of so many bytes to the local one found nobody. What is quoted of it
 * is as far as it is known: addresses, ports and length. */
EXPORT("send_refusal") void send_refusal(uint32_t length) {
  ip_addr_t from = noted(endpoints.local), to = noted(endpoints.remote);
  uint32_t is6 = endpoints.family == 6, header = is6 ? 40 : 20, udp_bytes = UDP_HEADER + length;
  uint32_t packet_length = is6 ? udp_bytes : header + udp_bytes, size = is6 ? 16 : 4;
  struct pbuf *p = packet_length > 0xffff ? NULL : pbuf_alloc(PBUF_IP, (u16_t)(ICMP_HEADER + header + UDP_HEADER), PBUF_RAM);
  uint8_t *icmp, *quote, *udp_header;
  uint16_t sum;
  if (p == NULL) return;
  icmp = p->payload;
  quote = icmp + ICMP_HEADER;
  udp_header = quote + header;
  memset(icmp, 0, ICMP_HEADER + header + UDP_HEADER);
  icmp[0] = is6 ? 1 : 3;
  icmp[1] = is6 ? 4 : 3;
  quote[0] = is6 ? 0x60 : 0x45;
  put16(quote + (is6 ? 4 : 2), packet_length);
  quote[is6 ? 6 : 9] = IP_PROTO_UDP;
  quote[is6 ? 7 : 8] = IP_DEFAULT_TTL;
  memcpy(quote + (is6 ? 8 : 12), endpoints.remote, size);
  memcpy(quote + (is6 ? 24 : 16), endpoints.local, size);
  if (!is6) {
    sum = inet_chksum(quote, (u16_t)header);
    memcpy(quote + 10, &sum, 2);
  }
  put16(udp_header, endpoints.remote_port);
  put16(udp_header + 2, endpoints.local_port);
  put16(udp_header + 4, udp_bytes);
  send_icmp(p, &from, &to);
}

static uint32_t number16(const uint8_t *at) { return (uint32_t)at[0] << 8 | at[1]; }

static uint32_t number32(const uint8_t *at) { return number16(at) << 16 | number16(at + 2); }

/* The connection that the quoted packet of ours belongs to, if its sequence number is in flight (RFC 5927). */
static struct tcp_pcb *quoted(const uint8_t *quote, uint32_t length, uint32_t family) {
  uint32_t header = family == 6 ? 40 : (quote[0] & 15u) * 4u;
  const uint8_t *tcp = quote + header;
  struct tcp_pcb *pcb;
  ip_addr_t local, remote;
  if (length < header + 8 || quote[family == 6 ? 6 : 9] != IP_PROTO_TCP) return NULL;
  endpoints.family = family;
  local = noted(quote + (family == 6 ? 8 : 12));
  remote = noted(quote + (family == 6 ? 24 : 16));
  for (pcb = tcp_active_pcbs; pcb != NULL; pcb = pcb->next) {
    if (pcb->local_port == number16(tcp) && pcb->remote_port == number16(tcp + 2) &&
        ip_addr_eq(&pcb->local_ip, &local) && ip_addr_eq(&pcb->remote_ip, &remote))
      return TCP_SEQ_BETWEEN(number32(tcp + 4), pcb->lastack, pcb->snd_nxt) ? pcb : NULL;
  }
  return NULL;
}

static void narrow(struct tcp_pcb *pcb, uint32_t mtu, uint32_t headers) {
  if (mtu < headers + 256 || mtu - headers >= pcb->mss) return;
  pcb->mss = (u16_t)(mtu - headers);
  if (tcp_rexmit_rto_prepare(pcb) != ERR_OK) return;
  tcp_output(pcb);
}

static void unreachable(struct tcp_pcb *pcb) {
  if (pcb->state != SYN_SENT) return;
  if (pcb->callback_arg != NULL) ((struct connection *)pcb->callback_arg)->is_unreachable = 1;
  tcp_abandon(pcb, 0);
}

/* The destination of the quoted datagram of ours says itself that nobody listens on its port. */
static void told_of_refusal(const uint8_t *quote, uint32_t length, uint32_t family) {
  uint32_t header = family == 6 ? 40 : (quote[0] & 15u) * 4u;
  ip_addr_t remote;
  if (header < 20 || length < header + UDP_HEADER || quote[family == 6 ? 6 : 9] != IP_PROTO_UDP) return;
  endpoints.family = family;
  remote = noted(quote + (family == 6 ? 24 : 16));
  if (!ip_addr_eq(&remote, ip_current_src_addr())) return;
  memcpy(endpoints.local, quote + (family == 6 ? 8 : 12), family == 6 ? 16 : 4);
  note(endpoints.remote, &remote);
  js_refused(number16(quote + header), number16(quote + header + 2));
}

static u8_t icmp4(void *arg, struct raw_pcb *raw, struct pbuf *p, const ip_addr_t *source) {
  static uint8_t icmp[QUOTE_BYTES + ICMP_HEADER];
  uint32_t length = pbuf_copy_partial(p, icmp, sizeof(icmp), ip_current_header_tot_len());
  struct tcp_pcb *pcb;
  (void)arg, (void)raw, (void)source;
  if (length < ICMP_HEADER) return 0;
  if (icmp[0] == 0) {
    endpoints.family = 4;
    note(endpoints.remote, ip_current_src_addr());
    js_echoed(number16(icmp + 4), number16(icmp + 6));
  }
  if (icmp[0] != 3 || length < ICMP_HEADER + 28) return 0;
  if (icmp[1] == 3) told_of_refusal(icmp + ICMP_HEADER, length - ICMP_HEADER, 4);
  pcb = quoted(icmp + ICMP_HEADER, length - ICMP_HEADER, 4);
  if (pcb == NULL) return 0;
  if (icmp[1] == 4) narrow(pcb, number16(icmp + 6), 40);
  else unreachable(pcb);
  return 0;
}

static u8_t icmp6(void *arg, struct raw_pcb *raw, struct pbuf *p, const ip_addr_t *source) {
  static uint8_t icmp[QUOTE_BYTES + ICMP_HEADER];
  uint32_t length = pbuf_copy_partial(p, icmp, sizeof(icmp), ip_current_header_tot_len());
  struct tcp_pcb *pcb;
  (void)arg, (void)raw, (void)source;
  if (length < ICMP_HEADER) return 0;
  if (icmp[0] == 129) {
    endpoints.family = 6;
    note(endpoints.remote, ip_current_src_addr());
    js_echoed(number16(icmp + 4), number16(icmp + 6));
  }
  /* Neighbours, routers and redirects are no matter of a tunnel. */
  if (icmp[0] >= 130) {
    pbuf_free(p);
    return 1;
  }
  if ((icmp[0] != 1 && icmp[0] != 2) || length < ICMP_HEADER + 48) return 0;
  if (icmp[0] == 1 && icmp[1] == 4) told_of_refusal(icmp + ICMP_HEADER, length - ICMP_HEADER, 6);
  pcb = quoted(icmp + ICMP_HEADER, length - ICMP_HEADER, 6);
  if (pcb == NULL) return 0;
  if (icmp[0] == 2) narrow(pcb, number32(icmp + 4), 60);
  else unreachable(pcb);
  return 0;
}

/* ---- UDP ---- */

static u8_t udp(void *arg, struct raw_pcb *raw, struct pbuf *p, const ip_addr_t *source) {
  static uint8_t quote[QUOTE_BYTES];
  uint32_t header = ip_current_header_tot_len();
  uint32_t quoted_bytes = pbuf_copy_partial(p, quote, ip_current_is_v6() ? QUOTE_BYTES : (u16_t)(header + 8), 0);
  uint8_t udp_header[UDP_HEADER];
  uint32_t length;
  (void)arg, (void)raw, (void)source;
  pbuf_remove_header(p, header);
  if (pbuf_copy_partial(p, udp_header, UDP_HEADER, 0) < UDP_HEADER) goto done;
  length = number16(udp_header + 4);
  if (length < UDP_HEADER || length > p->tot_len) goto done;
  pbuf_realloc(p, (u16_t)length);
  if (number16(udp_header + 6) == 0 ? ip_current_is_v6()
      : ip_chksum_pseudo(p, IP_PROTO_UDP, p->tot_len, ip_current_src_addr(), ip_current_dest_addr()) != 0) goto done;
  endpoints.family = ip_current_is_v6() ? 6 : 4;
  note(endpoints.local, ip_current_dest_addr());
  note(endpoints.remote, ip_current_src_addr());
  pbuf_copy_partial(p, data_bytes, (u16_t)(length - UDP_HEADER), UDP_HEADER);
  if (js_datagram(number16(udp_header), number16(udp_header + 2), data_bytes, length - UDP_HEADER) == NOBODY_LISTENS)
    refuse_datagram(quote, quoted_bytes);
done:
  pbuf_free(p);
  return TAKEN;
}

/* The data is in `data`, the addresses and ports in `endpoints`. */
EXPORT("send_datagram") int32_t send_datagram(uint32_t length) {
  ip_addr_t from = noted(endpoints.local), to = noted(endpoints.remote);
  struct pbuf *p;
  uint8_t *header;
  uint16_t sum;
  err_t error;
  if (length + UDP_HEADER + (endpoints.family == 6 ? 40 : 20) > 0xffff) return ERR_VAL;
  p = pbuf_alloc(PBUF_IP, (u16_t)(UDP_HEADER + length), PBUF_RAM);
  if (p == NULL) return ERR_MEM;
  header = p->payload;
  header[0] = (uint8_t)(endpoints.local_port >> 8), header[1] = (uint8_t)endpoints.local_port;
  header[2] = (uint8_t)(endpoints.remote_port >> 8), header[3] = (uint8_t)endpoints.remote_port;
  header[4] = (uint8_t)(p->tot_len >> 8), header[5] = (uint8_t)p->tot_len;
  header[6] = header[7] = 0;
  memcpy(header + UDP_HEADER, data_bytes, length);
  sum = ip_chksum_pseudo(p, IP_PROTO_UDP, p->tot_len, &from, &to);
  if (sum == 0) sum = 0xffff;
  memcpy(header + 6, &sum, 2);
  error = ip_output_if_src(p, &from, &to, IP_DEFAULT_TTL, 0, IP_PROTO_UDP, &netif);
  pbuf_free(p);
  return error;
}

/* ---- TCP ---- */

static err_t on_received(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t error) {
  struct pbuf *q;
  (void)pcb, (void)error;
  if (p == NULL) {
    js_ended(arg);
    return ERR_OK;
  }
  for (q = p; q != NULL; q = q->next) js_received(arg, q->payload, q->len);
  pbuf_free(p);
  return ERR_OK;
}

void tell_of_room(struct tcp_pcb *pcb) {
  if (pcb->callback_arg != NULL) js_sent(pcb->callback_arg);
}

static void on_failed(void *arg, err_t error) {
  struct connection *connection = arg;
  if (connection == NULL) return;
  connection->pcb = NULL;
  js_failed(connection, connection->is_unreachable ? UNREACHABLE : error == ERR_RST ? RESET
                        : error == ERR_CLSD ? CLOSED_BY_BOTH : TIMED_OUT);
}

static err_t on_connected(void *arg, struct tcp_pcb *pcb, err_t error) {
  (void)pcb, (void)error;
  js_connected(arg);
  return ERR_OK;
}

static void attach(struct connection *connection, struct tcp_pcb *pcb) {
  connection->pcb = pcb;
  connection->window = initial_window;
  tcp_arg(pcb, connection);
  tcp_recv(pcb, on_received);
  tcp_err(pcb, on_failed);
  tcp_nagle_disable(pcb);
  ip_set_option(pcb, SOF_KEEPALIVE);
  pcb->keep_idle = 120000;
  pcb->keep_intvl = 15000;
  pcb->keep_cnt = 6;
}

static void detach(struct connection *connection) {
  struct tcp_pcb *pcb = connection->pcb;
  if (pcb == NULL) return;
  connection->pcb = NULL;
  tcp_arg(pcb, NULL);
  tcp_recv(pcb, NULL);
  tcp_err(pcb, NULL);
}

static err_t on_accepted(void *arg, struct tcp_pcb *pcb, err_t error) {
  struct connection *connection;
  (void)arg;
  if (error != ERR_OK || pcb == NULL) return ERR_VAL;
  connection = calloc(1, sizeof(*connection));
  if (connection == NULL) return ERR_MEM;
  attach(connection, pcb);
  if (js_accepts(connection, pcb->local_port)) return ERR_OK;
  detach(connection);
  free(connection);
  tcp_abort(pcb);
  return ERR_ABRT;
}

/* A SYN arrived from the source of the packet that is looked at. One peer can neither fill the table nor hold more
 * than its share of what waits for its third packet. */
int may_open(const struct tcp_pcb *pcb) {
  uint32_t all = 0, of_one = 0, half_open = 0, half_open_of_one = 0;
  for (; pcb != NULL; pcb = pcb->next) {
    uint32_t is_half_open = pcb->state == SYN_RCVD;
    all++;
    half_open += is_half_open;
    if (!ip_addr_eq(&pcb->remote_ip, ip_current_src_addr())) continue;
    of_one++;
    half_open_of_one += is_half_open;
  }
  return all < most_connections && of_one < most_of_one && half_open < most_half_open &&
         half_open_of_one < most_half_open_of_one;
}

EXPORT("listen") struct tcp_pcb *listen(uint32_t port) {
  struct tcp_pcb *pcb = tcp_new_ip_type(IPADDR_TYPE_ANY), *listener;
  if (pcb == NULL) return NULL;
  if (tcp_bind(pcb, IP_ANY_TYPE, (u16_t)port) != ERR_OK) {
    tcp_abort(pcb);
    return NULL;
  }
  listener = tcp_listen_with_backlog(pcb, 255);
  if (listener == NULL) {
    tcp_abort(pcb);
    return NULL;
  }
  tcp_accept(listener, on_accepted);
  return listener;
}

EXPORT("stop_listening") void stop_listening(struct tcp_pcb *listener) { tcp_close(listener); }

/* From and to `endpoints`; NULL where there is no room or no port. */
EXPORT("connect") struct connection *connect(void) {
  struct connection *connection = calloc(1, sizeof(*connection));
  ip_addr_t from = noted(endpoints.local), to = noted(endpoints.remote);
  struct tcp_pcb *pcb = tcp_new_ip_type(endpoints.family == 6 ? IPADDR_TYPE_V6 : IPADDR_TYPE_V4);
  if (connection == NULL || pcb == NULL) goto failed;
  attach(connection, pcb);
  if (tcp_bind(pcb, &from, 0) != ERR_OK) goto failed;
  if (tcp_connect(pcb, &to, (u16_t)endpoints.remote_port, on_connected) == ERR_OK) return connection;
failed:
  if (pcb != NULL) {
    tcp_err(pcb, NULL);
    tcp_abort(pcb);
  }
  free(connection);
  return NULL;
}

/* Fills `endpoints`; 0 when the connection is gone. */
EXPORT("describe") int32_t describe(const struct connection *connection) {
  const struct tcp_pcb *pcb = connection->pcb;
  if (pcb == NULL) return 0;
  endpoints.family = IP_IS_V6(&pcb->remote_ip) ? 6 : 4;
  endpoints.local_port = pcb->local_port;
  endpoints.remote_port = pcb->remote_port;
  note(endpoints.local, &pcb->local_ip);
  note(endpoints.remote, &pcb->remote_ip);
  return 1;
}

/* Bytes of `wanted` that may be queued now; where that is not all, `sent` is called when there is room again. */
EXPORT("room") uint32_t room(struct connection *connection, uint32_t wanted) {
  struct tcp_pcb *pcb = connection->pcb;
  uint32_t most;
  if (pcb == NULL) return 0;
  most = sender_room(pcb);
  if (most < wanted) pcb->sender.is_wanted = 1;
  return LWIP_MIN(most, wanted);
}

/* Queues what there is room for of the first `length` bytes of `data`; how much that was. */
EXPORT("enqueue") uint32_t enqueue(struct connection *connection, uint32_t length) {
  struct tcp_pcb *pcb = connection->pcb;
  uint32_t done = 0, most;
  if (pcb == NULL) return 0;
  most = room(connection, length);
  while (done < most) {
    uint32_t part = LWIP_MIN(most - done, 0x4000u);
    u8_t flags = TCP_WRITE_FLAG_COPY | (done + part < most ? TCP_WRITE_FLAG_MORE : 0);
    if (tcp_write(pcb, data_bytes + done, (u16_t)part, flags) != ERR_OK) break;
    done += part;
  }
  if (done < length) pcb->sender.is_wanted = 1;
  sender_queued(done);
  tcp_output(pcb);
  return done;
}

/* Bytes queued or in flight. */
EXPORT("unacknowledged") uint32_t unacknowledged(const struct connection *connection) {
  return connection->pcb == NULL ? 0 : TCP_SND_BUF - connection->pcb->snd_buf;
}

/* The smoothed round-trip time in microseconds; 0: not measured. */
EXPORT("round_trip") uint32_t round_trip(const struct connection *connection) {
  return connection->pcb == NULL ? 0 : connection->pcb->sender.srtt_us;
}

/* `length` bytes were used up; the window may grow to `window` bytes. */
EXPORT("consumed") void consumed(struct connection *connection, uint32_t length, uint32_t window) {
  struct tcp_pcb *pcb = connection->pcb;
  if (pcb == NULL) return;
  if ((pcb->flags & TF_WND_SCALE) && window > connection->window) {
    length += window - connection->window;
    connection->window = window;
  }
  while (length > 0) {
    uint32_t part = LWIP_MIN(length, 0xffffu);
    tcp_recved(pcb, (u16_t)part);
    length -= part;
  }
}

/* No more will be written: FIN follows what is queued. */
EXPORT("finish") void finish(struct connection *connection) {
  if (connection->pcb != NULL) tcp_shutdown(connection->pcb, 0, 1);
}

/* Resets the connection if there is one. */
EXPORT("abort") void abort_connection(struct connection *connection) {
  struct tcp_pcb *pcb = connection->pcb;
  if (pcb == NULL) return;
  detach(connection);
  /* In TIME_WAIT the peer has everything: a reset would only confuse it. */
  if (pcb->state != TIME_WAIT) tcp_abort(pcb);
}

/* Lets go of it: what is queued goes on its way without us. */
EXPORT("release") void release(struct connection *connection) {
  detach(connection);
  free(connection);
}

/* ---- the whole ---- */

EXPORT("set_mtu") void set_mtu(uint32_t mtu) { netif.mtu = (u16_t)mtu; }

EXPORT("set_limits") void set_limits(uint32_t connections, uint32_t of_one, uint32_t half_open,
                                     uint32_t half_open_of_one) {
  most_connections = connections;
  most_of_one = of_one;
  most_half_open = half_open;
  most_half_open_of_one = half_open_of_one;
}

/* Connections that lwIP knows: open, and waiting for the last packets that may still come. */
EXPORT("count_active") uint32_t count_active(void) {
  uint32_t count = 0;
  struct tcp_pcb *pcb;
  for (pcb = tcp_active_pcbs; pcb != NULL; pcb = pcb->next) count++;
  return count;
}

EXPORT("count_waiting") uint32_t count_waiting(void) {
  uint32_t count = 0;
  struct tcp_pcb *pcb;
  for (pcb = tcp_tw_pcbs; pcb != NULL; pcb = pcb->next) count++;
  return count;
}

static void look_into(u8_t protocol, raw_recv_fn receive, u8_t type) {
  struct raw_pcb *raw = raw_new_ip_type(type, protocol);
  raw_recv(raw, receive, NULL);
}

EXPORT("start") void start(uint32_t mtu) {
  /* RFC 7335's address of nobody in particular: every packet says where it is from. */
  ip4_addr_t address = IPADDR4_INIT_BYTES(192, 0, 0, 8), mask = IPADDR4_INIT_BYTES(255, 255, 255, 255), none = {0};
  lwip_init();
  netif_add(&netif, &address, &mask, &none, NULL, set_up, ip_input);
  netif_set_default(&netif);
  netif_set_up(&netif);
  netif.mtu = (u16_t)mtu;
  look_into(IP_PROTO_ICMP, icmp4, IPADDR_TYPE_V4);
  look_into(IP6_NEXTH_ICMP6, icmp6, IPADDR_TYPE_V6);
  look_into(IP_PROTO_UDP, udp, IPADDR_TYPE_ANY);
}
