/*
 * `forward-reference FROM_PID TO_PID`: the limit for a process between two taps with one system call for each frame.
 *
 * Makes a tap `eth0` in the network namespace of each process, says "ready", and from then on sleeps until the first has
 * frames and empties it into the second: up to BATCH reads, as many writes, and again until there is no more. That is what
 * a running network does with frames one way, without anything in between. Ends when it is killed.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { BATCH = 256, FRAME_BYTES_MAX = 2048, VNET_HEADER_BYTES = 12 };

static char room[BATCH][FRAME_BYTES_MAX];
static ssize_t lengths[BATCH];

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int open_tap(const char *process)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%s/ns/net", process);
	int namespace = open(path, O_RDONLY | O_CLOEXEC);
	if (namespace < 0 || setns(namespace, CLONE_NEWNET) < 0) fail(path);
	close(namespace);
	int tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	struct ifreq request = { .ifr_name = "eth0", .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int header = VNET_HEADER_BYTES;
	if (tap < 0 || ioctl(tap, TUNSETIFF, &request) < 0 || ioctl(tap, TUNSETVNETHDRSZ, &header) < 0) fail("tap");
	return tap;
}

int main(int count, char **words)
{
	if (count != 3) return 2;
	int from = open_tap(words[1]), to = open_tap(words[2]);
	puts("ready");
	fflush(stdout);
	for (;;) {
		int got = 0;
		while (got < BATCH && (lengths[got] = read(from, room[got], FRAME_BYTES_MAX)) > 0) got++;
		for (int i = 0; i < got; i++) {
			if (write(to, room[i], lengths[i]) != lengths[i]) fail("write");
		}
		struct pollfd readable = { .fd = from, .events = POLLIN };
		if (got < BATCH) poll(&readable, 1, -1);
	}
}
