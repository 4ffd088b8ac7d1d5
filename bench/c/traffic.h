/*
 * What the client and the server of the benchmarks agree on. Both are in C, and as thin as can be, so that the network
 * between them is what is measured.
 *
 * | port from the first on | TCP                                  | UDP                                                  |
 * | ---------------------- | ------------------------------------ | ---------------------------------------------------- |
 * | ECHO                   | sends back what comes                | sends back what comes                                |
 * | ANSWER                 | one byte for one byte, then closes   |                                                      |
 * | SINK                   | reads to the end, then closes        |                                                      |
 * | COUNT                  | says what came by UDP, then closes   | counts                                               |
 * | SOURCE                 | sends until the other side closes    | sends what a `struct order` asks for                 |
 * | IDLE and 7 more        | as ECHO: more ports, more flows      |                                                      |
 */
#ifndef TRAFFIC_H
#define TRAFFIC_H

#include <netinet/in.h>
#include <stdint.h>

enum { ECHO = 0, ANSWER = 1, SINK = 2, COUNT = 3, SOURCE = 4, IDLE = 8, IDLE_PORTS = 8, PORTS = 16 };

/* Datagrams of one sendmmsg or recvmmsg. */
enum { BATCH = 64, DATAGRAM_BYTES_MAX = 65536 };

/* Datagrams of `bytes` each, for so long. */
struct order {
	uint32_t bytes;
	uint32_t milliseconds;
};

/* What came, and the time between the first and the last of it. */
struct tally {
	uint64_t datagrams;
	uint64_t bytes;
	int64_t first_ns;
	int64_t last_ns;
};

int64_t now_ns(void);
/* Ends the program with what failed and why. */
void die(const char *what);
/* An IPv4 socket address; ends the program when it is none. */
struct sockaddr_in address_of(const char *text, int port);
/* As many descriptors as we may have. */
void raise_descriptor_limit(void);
/* Sends datagrams to where `fd` is connected, or to `to`, until the time is over. */
void send_datagrams(int fd, const struct sockaddr_in *to, struct order order);
/* Takes what is there. Returns how many datagrams that were. */
int count_datagrams(int fd, struct tally *tally);

#endif
