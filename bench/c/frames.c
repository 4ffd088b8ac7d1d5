/*
 * `frames BATCH FRAMES FILLS`: the limit for a device that is read and written with one system call for each frame.
 *
 * Descriptor 3 is a tap whose queue holds FRAMES; 5 a connected UDP socket whose datagrams go there; 4 is another tap.
 * FILLS times the queue is filled, and emptied: up to BATCH reads, as many writes, and again until there is no more. That
 * is what the engine does between its two taps, without anything in between. Prints frames and nanoseconds of emptying.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FROM = 3, TO = 4, FILLER = 5, BATCH_MAX = 256, FRAME_BYTES_MAX = 2048 };
/* With Ethernet, IPv4 and UDP headers, a frame of 64 bytes. */
enum { PAYLOAD_BYTES = 64 - 14 - 20 - 8 };

static char room[BATCH_MAX][FRAME_BYTES_MAX];
static ssize_t lengths[BATCH_MAX];

static long long now_ns(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void fill(int frames)
{
	char payload[PAYLOAD_BYTES] = { 0 };
	for (int i = 0; i < frames; i++) {
		if (send(FILLER, payload, sizeof payload, 0) < 0) perror("send"), exit(1);
	}
}

static int empty(int batch)
{
	int all = 0, count;
	do {
		for (count = 0; count < batch; count++) {
			lengths[count] = read(FROM, room[count], FRAME_BYTES_MAX);
			if (lengths[count] < 0) break;
		}
		for (int i = 0; i < count; i++) {
			if (write(TO, room[i], lengths[i]) != lengths[i]) perror("write"), exit(1);
		}
		all += count;
	} while (count == batch);
	return all;
}

int main(int count, char **words)
{
	if (count != 4) return 2;
	int batch = atoi(words[1]), frames = atoi(words[2]), fills = atoi(words[3]);
	long long moved = 0, spent = 0;
	if (batch < 1 || batch > BATCH_MAX) return 2;
	for (int i = 0; i < fills; i++) {
		fill(frames);
		long long start = now_ns();
		moved += empty(batch);
		spent += now_ns() - start;
	}
	printf("%lld %lld\n", moved, spent);
	return 0;
}
