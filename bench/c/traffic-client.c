/*
 * `traffic-client QUESTION ADDRESS PORT NUMBER...`: asks the server one question and prints the answer, one number.
 *
 *     tcp-rr MS            microseconds of a round trip of 1 byte, one at a time on one connection
 *     udp-rr MS            the same with datagrams; one that is lost costs its 200 ms
 *     tcp-crr MS           how often in a second: connect, 1 byte there, 1 byte back, the end
 *     tcp-out MS           sends on one connection until it has all been read: says how many bytes; Gbit/s
 *     tcp-in MS            the other way
 *     udp-out BYTES MS     datagrams of BYTES, as fast as they are taken: how many in a second arrive
 *     udp-in BYTES MS      the other way
 *     flows A B MS         A idle connections, B more, and one that is busy: its Gbit/s. Says what it has opened, and waits
 *                          for a line before it goes on
 *     first                one datagram there; prints nothing
 */
#define _GNU_SOURCE
#include "traffic.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* How long nothing may come before nothing is coming. */
enum { QUIET_MS = 200, LOST_MAX = 20, BLOCK_BYTES = 1 << 17 };

static const char *host;
static int first_port;

static int open_socket(int type, int port)
{
	struct sockaddr_in address = address_of(host, first_port + port);
	struct timeval quiet = { .tv_usec = QUIET_MS * 1000 };
	int on = 1, room = 4 << 20;
	int fd = socket(AF_INET, type, 0);
	if (fd < 0) die("socket");
	if (type == SOCK_STREAM) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	else {
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &quiet, sizeof quiet);
	}
	if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) die("connect");
	return fd;
}

/* One byte there and one back. Returns whether it came. */
static int round_trip(int fd)
{
	char byte = 'x';
	if (write(fd, &byte, 1) != 1) die("write");
	ssize_t got = read(fd, &byte, 1);
	if (got < 0 && errno != EAGAIN) die("read");
	if (got == 0) errno = EPIPE, die("read");
	return got == 1;
}

static double round_trips(int type, int milliseconds)
{
	int fd = open_socket(type, ECHO), count = 0, lost = 0;
	/* The first one makes the flow. */
	while (!round_trip(fd)) if (++lost > LOST_MAX) errno = ETIMEDOUT, die("no answers");
	int64_t start = now_ns(), end = start + milliseconds * 1000000LL, now;
	do {
		if (round_trip(fd)) count++;
		else if (++lost > LOST_MAX) errno = ETIMEDOUT, die("no answers");
		now = now_ns();
	} while (now < end);
	return (now - start) / 1e3 / count;
}

static double connections(int milliseconds)
{
	int64_t start = now_ns(), end = start + milliseconds * 1000000LL, now;
	int count = 0;
	do {
		char byte;
		int fd = open_socket(SOCK_STREAM, ANSWER);
		round_trip(fd);
		if (read(fd, &byte, 1) != 0) errno = EPROTO, die("end");
		close(fd);
		count++;
		now = now_ns();
	} while (now < end);
	return count / ((now - start) / 1e9);
}

static double gigabits(double bytes, int64_t start)
{
	printf("%.0f\n", bytes);
	return bytes * 8 / (now_ns() - start);
}

static double bytes_out(int fd, int milliseconds)
{
	static char block[BLOCK_BYTES];
	int64_t start = now_ns(), end = start + milliseconds * 1000000LL;
	double bytes = 0;
	/* The end of a block may wait for the next one. */
	int off = 0;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &off, sizeof off);
	while (now_ns() < end) {
		ssize_t taken = write(fd, block, sizeof block);
		if (taken < 0) die("write");
		bytes += taken;
	}
	shutdown(fd, SHUT_WR);
	if (read(fd, block, 1) != 0) die("read");
	return gigabits(bytes, start);
}

/* Nothing is copied: who receives is not what is measured. */
static double bytes_in(int fd, int milliseconds)
{
	int64_t start = now_ns(), end = start + milliseconds * 1000000LL;
	double bytes = 0;
	while (now_ns() < end) {
		ssize_t got = recv(fd, NULL, BLOCK_BYTES, MSG_TRUNC);
		if (got <= 0) die("recv");
		bytes += got;
	}
	return gigabits(bytes, start);
}

static double datagrams_out(struct order order)
{
	send_datagrams(open_socket(SOCK_DGRAM, COUNT), NULL, order);
	/* What is under way. */
	usleep(QUIET_MS / 2 * 1000);
	FILE *answer = fdopen(open_socket(SOCK_STREAM, COUNT), "r");
	unsigned long long datagrams, bytes;
	long long span;
	if (fscanf(answer, "%llu %llu %lld", &datagrams, &bytes, &span) != 3 || span == 0) errno = ENODATA, die("arrived");
	return datagrams / (span / 1e9);
}

static double datagrams_in(struct order order)
{
	int fd = open_socket(SOCK_DGRAM, SOURCE);
	struct tally tally = { 0 };
	for (int asked = 0; tally.datagrams == 0; asked++) {
		if (asked == 5) errno = ETIMEDOUT, die("nothing came");
		if (write(fd, &order, sizeof order) < 0) die("write");
		if (poll(&(struct pollfd){ fd, POLLIN, 0 }, 1, QUIET_MS) > 0) count_datagrams(fd, &tally);
	}
	while (poll(&(struct pollfd){ fd, POLLIN, 0 }, 1, QUIET_MS) > 0) count_datagrams(fd, &tally);
	if (tally.last_ns == tally.first_ns) errno = ENODATA, die("came");
	return tally.datagrams / ((tally.last_ns - tally.first_ns) / 1e9);
}

/* Opens connections that nothing will be said on, and waits for a line. */
static void open_idle(int from, int count)
{
	char line[64];
	for (int i = 0; i < count; i++) open_socket(SOCK_STREAM, IDLE + (from + i) % IDLE_PORTS);
	printf("%d open\n", from + count);
	fflush(stdout);
	if (read(0, line, sizeof line) < 1) die("no line");
}

static double busy_among(int idle, int more, int milliseconds)
{
	open_idle(0, idle);
	if (more > 0) open_idle(idle, more);
	return bytes_out(open_socket(SOCK_STREAM, SINK), milliseconds);
}

int main(int count, char **words)
{
	if (count < 4) return 2;
	const char *question = words[1];
	int a = count > 4 ? atoi(words[4]) : 0, b = count > 5 ? atoi(words[5]) : 0, c = count > 6 ? atoi(words[6]) : 0;
	double answer;
	host = words[2];
	first_port = atoi(words[3]);
	raise_descriptor_limit();
	if (!strcmp(question, "tcp-rr")) answer = round_trips(SOCK_STREAM, a);
	else if (!strcmp(question, "udp-rr")) answer = round_trips(SOCK_DGRAM, a);
	else if (!strcmp(question, "tcp-crr")) answer = connections(a);
	else if (!strcmp(question, "tcp-out")) answer = bytes_out(open_socket(SOCK_STREAM, SINK), a);
	else if (!strcmp(question, "tcp-in")) answer = bytes_in(open_socket(SOCK_STREAM, SOURCE), a);
	else if (!strcmp(question, "udp-out")) answer = datagrams_out((struct order){ a, b });
	else if (!strcmp(question, "udp-in")) answer = datagrams_in((struct order){ a, b });
	else if (!strcmp(question, "flows")) answer = busy_among(a, b, c);
	else if (!strcmp(question, "first")) return write(open_socket(SOCK_DGRAM, ECHO), "x", 1) != 1;
	else return 2;
	printf("%.6g\n", answer);
	return 0;
}
