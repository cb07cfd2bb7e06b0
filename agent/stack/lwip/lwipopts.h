/* How lwIP is built for Nexodus: no operating system, IPv4 and IPv6, TCP and raw access (UDP and the use of ICMP
 * are above, in glue.c and in TypeScript). Every number bounds memory: lwIP's pools are fixed. */
#pragma once

#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_NETCONN 0
#define LWIP_SOCKET 0
#define LWIP_TIMERS 1
#define LWIP_STATS 0
#define LWIP_SINGLE_NETIF 1
#define LWIP_NETIF_LOOPBACK 0
#define LWIP_NETIF_TX_SINGLE_PBUF 1
#define LWIP_ARP 0
#define LWIP_ETHERNET 0
#define LWIP_DHCP 0
#define LWIP_DNS 0
#define LWIP_UDP 0
#define LWIP_TCP 1
#define LWIP_RAW 1
#define LWIP_IPV4 1
#define LWIP_ICMP 1
#define LWIP_IPV6 1
#define LWIP_IPV6_MLD 0
#define LWIP_IPV6_AUTOCONFIG 0
#define LWIP_IPV6_SEND_ROUTER_SOLICIT 0
#define LWIP_IPV6_DUP_DETECT_ATTEMPTS 0
#define LWIP_IPV6_DHCP6 0
#define LWIP_ND6 1
#define LWIP_ND6_TCP_REACHABILITY_HINTS 0
#define LWIP_ND6_ALLOW_RA_UPDATES 0

/* Memory: packets and what waits to be sent come from malloc, which ends where the module's memory does. */
#define MEM_LIBC_MALLOC 1
#define MEMP_MEM_MALLOC 0
#define MEM_ALIGNMENT 8
#define PBUF_POOL_SIZE 0
#define MEMP_NUM_RAW_PCB 4
#define MEMP_NUM_TCP_PCB 5120
#define MEMP_NUM_TCP_PCB_LISTEN 1024
#define MEMP_NUM_TCP_SEG 60000
#define MEMP_NUM_REASSDATA 64
#define MEMP_NUM_SYS_TIMEOUT 16

/* Fragments of one IPv4 and one IPv6 datagram of the largest size, several times. */
#define IP_REASSEMBLY 1
#define IP_FRAG 1
#define IP_REASS_MAX_PBUFS 512
#define IP_REASS_MAXAGE 15
#define LWIP_IPV6_FRAG 1
#define LWIP_IPV6_REASS 1
#define IPV6_REASS_MAXAGE 15
#define MEMP_NUM_FRAG_PBUF 128

/* TCP. Of windows and buffers these are the largest; sender.c and the glue decide how much of them is used. */
#define TCP_MSS 8940
#define LWIP_WND_SCALE 1
#define TCP_RCV_SCALE 7
#define TCP_WND (4 * 1024 * 1024)
#define TCP_SND_BUF (4 * 1024 * 1024)
#define TCP_SND_QUEUELEN 16000
#define TCP_SNDLOWAT 4096
#define TCP_WND_UPDATE_THRESHOLD 8192
#define TCP_OVERSIZE 1400
/* What waits for what is missing lies within the receive window. */
#define TCP_QUEUE_OOSEQ 1
#define LWIP_TCP_SACK_OUT 1
#define LWIP_TCP_MAX_SACK_NUM 4
#define LWIP_TCP_TIMESTAMPS 1
/* The glue bounds what is half open, by peer. */
#define TCP_LISTEN_BACKLOG 0
#define LWIP_TCP_KEEPALIVE 1
#define LWIP_TCP_RTO_TIME 1000
/* Milliseconds: delayed acknowledgements, and half of a tick of the retransmission timer. */
#define TCP_TMR_INTERVAL 50
#define TCP_MSL 15000UL
#define TCP_MAXRTX 12
#define TCP_SYNMAXRTX 5
#define SO_REUSE 1

#define LWIP_CHECKSUM_ON_COPY 1
#define LWIP_CHKSUM_ALGORITHM 3
#define LWIP_NOASSERT 0

/* RFC 6528 asks for initial sequence numbers that nobody can guess. */
#define LWIP_HOOK_TCP_ISN(local, local_port, remote, remote_port) js_random()
#define IP_DEFAULT_TTL 64
