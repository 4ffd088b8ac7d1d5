/* What client and server share. */
#define _GNU_SOURCE
#include "traffic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

static char payload[DATAGRAM_BYTES_MAX];

int64_t now_ns(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

struct sockaddr_in address_of(const char *text, int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	if (inet_pton(AF_INET, text, &address.sin_addr) == 1) return address;
	errno = EINVAL;
	die(text);
	return address;
}

void raise_descriptor_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0) die("getrlimit");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0) die("setrlimit");
}

void send_datagrams(int fd, const struct sockaddr_in *to, struct order order)
{
	struct mmsghdr messages[BATCH];
	struct iovec piece = { payload, order.bytes };
	memset(messages, 0, sizeof messages);
	for (int i = 0; i < BATCH; i++) {
		messages[i].msg_hdr.msg_iov = &piece;
		messages[i].msg_hdr.msg_iovlen = 1;
		messages[i].msg_hdr.msg_name = (void *)to;
		messages[i].msg_hdr.msg_namelen = to ? sizeof *to : 0;
	}
	/* Large ones in smaller batches: the clock is looked at in between. */
	int batch = order.bytes > 8192 ? BATCH / 8 : BATCH;
	int64_t end = now_ns() + order.milliseconds * 1000000LL;
	while (now_ns() < end) {
		if (sendmmsg(fd, messages, batch, 0) >= 0) continue;
		/* No room: wait for some. ECONNREFUSED and the like speak of an earlier datagram. */
		if (errno == EAGAIN || errno == ENOBUFS) poll(&(struct pollfd){ fd, POLLOUT, 0 }, 1, 10);
	}
}

int count_datagrams(int fd, struct tally *tally)
{
	static char room[BATCH][DATAGRAM_BYTES_MAX];
	struct mmsghdr messages[BATCH];
	struct iovec pieces[BATCH];
	memset(messages, 0, sizeof messages);
	for (int i = 0; i < BATCH; i++) {
		pieces[i] = (struct iovec){ room[i], sizeof room[i] };
		messages[i].msg_hdr.msg_iov = &pieces[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	int got = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
	if (got <= 0) return 0;
	tally->last_ns = now_ns();
	if (tally->datagrams == 0) tally->first_ns = tally->last_ns;
	tally->datagrams += got;
	for (int i = 0; i < got; i++) tally->bytes += messages[i].msg_len;
	return got;
}
