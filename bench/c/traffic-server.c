/*
 * `traffic-server ADDRESS PORT`: everything that the client asks for, on ADDRESS and the ports from PORT on (traffic.h).
 * Prints "ready" when it listens, and serves until it is killed. One thread, one epoll set.
 */
#define _GNU_SOURCE
#include "traffic.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 18, EVENTS = 256 };
/* What a descriptor in the poll set is; connections are what their listener's port says. */
enum { LISTENER = 0x100, DATAGRAMS = 0x200 };

static int poll_set;
static char bytes[READ_BYTES];
static struct tally counted;

static void watch(int fd, uint32_t kind)
{
	struct epoll_event event = { .events = kind == SOURCE ? EPOLLOUT : EPOLLIN, .data.u64 = (uint64_t)kind << 32 | (uint32_t)fd };
	if (epoll_ctl(poll_set, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
}

static void serve_on(const char *text, int first, int port, int type)
{
	struct sockaddr_in address = address_of(text, first + port);
	int on = 1, room = 4 << 20;
	int fd = socket(AF_INET, type | SOCK_NONBLOCK, 0);
	if (fd < 0) die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (type == SOCK_DGRAM) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
	if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) die("bind");
	if (type == SOCK_STREAM && listen(fd, 4096) < 0) die("listen");
	watch(fd, (type == SOCK_STREAM ? LISTENER : DATAGRAMS) | port);
}

static void tell_tally(int fd)
{
	int64_t span = counted.last_ns - counted.first_ns;
	dprintf(fd, "%llu %llu %lld\n", (unsigned long long)counted.datagrams, (unsigned long long)counted.bytes, (long long)span);
}

static void accept_all(int listener, int port)
{
	int on = 1, fd;
	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		if (port == COUNT) {
			tell_tally(fd);
			close(fd);
			continue;
		}
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
		watch(fd, port);
	}
	if (errno != EAGAIN && errno != ECONNABORTED) die("accept");
}

/* Echoes are small: what does not fit into the socket's buffer would be our mistake. */
static void serve_connection(int fd, int port)
{
	if (port == SOURCE) {
		if (write(fd, bytes, sizeof bytes) < 0 && errno != EAGAIN) close(fd);
		return;
	}
	ssize_t got = port == SINK ? recv(fd, NULL, 64 << 20, MSG_TRUNC) : read(fd, bytes, sizeof bytes);
	if (got < 0 && errno == EAGAIN) return;
	if (got > 0 && port != SINK && write(fd, bytes, got) != got) got = 0;
	if (got <= 0 || port == ANSWER) close(fd);
}

static void serve_datagrams(int fd, int port)
{
	struct sockaddr_in from;
	socklen_t length = sizeof from;
	if (port == COUNT) {
		count_datagrams(fd, &counted);
		return;
	}
	ssize_t got = recvfrom(fd, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &length);
	if (got < 0) return;
	if (port == ECHO) sendto(fd, bytes, got, 0, (struct sockaddr *)&from, length);
	else if (got == sizeof(struct order)) send_datagrams(fd, &from, *(struct order *)bytes);
}

int main(int count, char **words)
{
	if (count != 3) return 2;
	int first = atoi(words[2]);
	signal(SIGPIPE, SIG_IGN);
	raise_descriptor_limit();
	poll_set = epoll_create1(0);
	serve_on(words[1], first, ECHO, SOCK_STREAM);
	serve_on(words[1], first, ANSWER, SOCK_STREAM);
	serve_on(words[1], first, SINK, SOCK_STREAM);
	serve_on(words[1], first, COUNT, SOCK_STREAM);
	serve_on(words[1], first, SOURCE, SOCK_STREAM);
	for (int i = 0; i < IDLE_PORTS; i++) serve_on(words[1], first, IDLE + i, SOCK_STREAM);
	serve_on(words[1], first, ECHO, SOCK_DGRAM);
	serve_on(words[1], first, COUNT, SOCK_DGRAM);
	serve_on(words[1], first, SOURCE, SOCK_DGRAM);
	puts("ready");
	fflush(stdout);
	for (;;) {
		struct epoll_event events[EVENTS];
		int ready = epoll_wait(poll_set, events, EVENTS, -1);
		for (int i = 0; i < ready; i++) {
			int fd = (uint32_t)events[i].data.u64;
			uint32_t kind = events[i].data.u64 >> 32;
			if (kind & LISTENER) accept_all(fd, kind & 0xff);
			else if (kind & DATAGRAMS) serve_datagrams(fd, kind & 0xff);
			else serve_connection(fd, kind);
		}
	}
}
