/*
 * `forward-meter FROM_PID TO_PID MOVER_PID STATION LAST FRAMES WARM FILLS`: how fast a process moves small frames between
 * two network namespaces, whatever it is.
 *
 * WARM + FILLS times: stops MOVER, fills the queue of `eth0` of the first namespace with FRAMES UDP datagrams in frames of
 * 64 bytes, lets MOVER go on, and sleeps until the last one has arrived in the second. So who fills is not measured, who
 * counts is in nobody's way, and one processor is enough for one that moves. Prints frames and nanoseconds of FILLS.
 *
 * All but the last are for STATION, an address behind `eth0` of the second namespace: the kernel counts them there and drops
 * them with the least work, for their MAC address, 02:00:00:00:00:03, is another's. Only the last is for LAST, its own
 * address, where we wait for it. Both are heard there before, so that bridges know where they are. The datagrams come from
 * FLOWS ports, so that queues of a tap have their shares.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* With Ethernet, IPv4 and UDP headers, a frame of 64 bytes. */
enum { PAYLOAD_BYTES = 64 - 14 - 20 - 8, FLOWS = 64 };

static const long long WAIT_NS_MAX = 2000000000;
static const long ASK_NS = 10000, SETTLE_NS = 100000000;

static int fillers[FLOWS], last_filler;
static int last_receiver;
static int devices;
static int state;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static long long now_ns(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void pause_ns(long nanoseconds)
{
	nanosleep(&(struct timespec){ .tv_nsec = nanoseconds }, NULL);
}

static void enter(const char *process)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%s/ns/net", process);
	int namespace = open(path, O_RDONLY | O_CLOEXEC);
	if (namespace < 0 || setns(namespace, CLONE_NEWNET) < 0) fail(path);
	close(namespace);
}

static struct sockaddr_in discard(const char *address)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(9) };
	if (inet_pton(AF_INET, address, &to.sin_addr) != 1) fail(address);
	return to;
}

static int open_filler(const char *address)
{
	struct sockaddr_in to = discard(address);
	int filler = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (filler < 0 || connect(filler, (struct sockaddr *)&to, sizeof to) < 0) fail("filling socket");
	return filler;
}

static int open_receiver(const char *address)
{
	struct sockaddr_in own = discard(address);
	struct timeval limit = { .tv_sec = WAIT_NS_MAX / 1000000000 };
	int receiver = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (receiver < 0 || bind(receiver, (struct sockaddr *)&own, sizeof own) < 0) fail("receiving socket");
	if (setsockopt(receiver, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0) fail("time limit");
	return receiver;
}

/* To everybody, of the type that is set aside for experiments (IEEE 802). */
static void greet(int raw, unsigned char from)
{
	unsigned char frame[60] = { 255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, from, 0x88, 0xb5 };
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = if_nametoindex("eth0") };
	if (sendto(raw, frame, sizeof frame, 0, (struct sockaddr *)&to, sizeof to) < 0) fail("greeting");
}

static void greet_all(void)
{
	int raw = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (raw < 0) fail("greeting");
	greet(raw, 3);
	greet(raw, 4);
	close(raw);
	pause_ns(SETTLE_NS);
}

static void fill(int frames)
{
	char payload[PAYLOAD_BYTES] = { 0 };
	for (int i = 0; i < frames; i++) {
		int filler = i == frames - 1 ? last_filler : fillers[i % FLOWS];
		if (send(filler, payload, sizeof payload, 0) < 0) fail("send");
	}
}

/* What `eth0` has received: the second number behind its name is of packets (proc(5), /proc/net/dev). */
static long long received(void)
{
	char text[4096];
	ssize_t length = pread(devices, text, sizeof text - 1, 0);
	if (length < 0) fail("/proc/net/dev");
	text[length] = 0;
	char *line = strstr(text, " eth0:");
	long long packets;
	if (line == NULL || sscanf(line + sizeof " eth0:" - 1, "%*d %lld", &packets) != 1) {
		fprintf(stderr, "there is no eth0\n");
		exit(1);
	}
	return packets;
}

/* The third field of /proc/PID/stat, behind the name in parentheses: T when the process has stopped. */
static void stop(pid_t mover)
{
	if (kill(mover, SIGSTOP) < 0) fail("SIGSTOP");
	long long since = now_ns();
	for (;;) {
		char text[1024];
		ssize_t length = pread(state, text, sizeof text - 1, 0);
		if (length < 0) fail("/proc/PID/stat");
		text[length] = 0;
		char *name_end = strrchr(text, ')');
		if (name_end != NULL && name_end[2] == 'T') return;
		if (now_ns() - since > WAIT_NS_MAX) fprintf(stderr, "the process does not stop\n"), exit(1);
		pause_ns(ASK_NS);
	}
}

/* With several queues another frame may be the last one to arrive. */
static long long empty(pid_t mover, long long before, int frames)
{
	char payload[PAYLOAD_BYTES];
	long long start = now_ns();
	if (kill(mover, SIGCONT) < 0) fail("SIGCONT");
	ssize_t got = recv(last_receiver, payload, sizeof payload, 0);
	for (;;) {
		long long arrived = received() - before, spent = now_ns() - start;
		if (got > 0 && arrived >= frames) return spent;
		if (got < 0 || spent > WAIT_NS_MAX) {
			fprintf(stderr, "%lld of %d frames arrived\n", arrived, frames);
			exit(1);
		}
		pause_ns(ASK_NS);
	}
}

int main(int count, char **words)
{
	if (count != 9) return 2;
	pid_t mover = atoi(words[3]);
	int frames = atoi(words[6]), warm = atoi(words[7]), fills = atoi(words[8]);
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/stat", mover);
	if ((state = open(path, O_RDONLY | O_CLOEXEC)) < 0) fail(path);
	enter(words[1]);
	for (int i = 0; i < FLOWS; i++) fillers[i] = open_filler(words[4]);
	last_filler = open_filler(words[5]);
	enter(words[2]);
	last_receiver = open_receiver(words[5]);
	if ((devices = open("/proc/self/net/dev", O_RDONLY | O_CLOEXEC)) < 0) fail("/proc/self/net/dev");
	greet_all();
	long long spent = 0;
	for (int i = -warm; i < fills; i++) {
		stop(mover);
		long long before = received();
		fill(frames);
		long long each = empty(mover, before, frames);
		if (i >= 0) spent += each;
	}
	printf("%lld %lld\n", (long long)frames * fills, spent);
	return 0;
}
