/*
 * What every family of the addon shares: how its functions are registered, how their arguments are read, and the
 * table of memories that JavaScript registered.
 *
 * Each family is one file that makes system calls and nothing else, and offers `NAME_register`, which puts its
 * functions on the exports. A function takes integers and memory ids, and returns a count or -errno; it throws only
 * for what is a bug of our own side of JavaScript: a TypeError for an argument of the wrong kind, a RangeError for
 * memory that is not there. After a throw it returns NULL.
 *
 * State belongs to one environment (the main thread, or one worker), never to the process: `struct addon`, handed to
 * every function as its callback data. The one exception is signal.c, since signal dispositions belong to the
 * process.
 */
#ifndef TAPSTER_ADDON_H
#define TAPSTER_ADDON_H

#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct memory {
  uint8_t *bytes; /* NULL: the id is free */
  size_t length;
  bool words;     /* an Int32Array: may serve as a vector or as records */
  napi_ref reference;
};

struct watch; /* poll.c */

struct addon {
  struct memory *memories;
  size_t memories_count;
  struct watch *watches; /* poll.c: list of those that are open */
  int32_t last_watch;
};

/* The families, in the order in which addon.c registers them. */
void memory_register(napi_env env, napi_value exports);
void tap_register(napi_env env, napi_value exports);
void vhost_register(napi_env env, napi_value exports);
void socket_register(napi_env env, napi_value exports);
void stream_register(napi_env env, napi_value exports);
void datagram_register(napi_env env, napi_value exports);
void poll_register(napi_env env, napi_value exports);
void signal_register(napi_env env, napi_value exports);
void namespace_register(napi_env env, napi_value exports);
void sandbox_register(napi_env env, napi_value exports);
void raw_socket_register(napi_env env, napi_value exports);
void unix_socket_register(napi_env env, napi_value exports);
void splice_register(napi_env env, napi_value exports);
void socket_server_register(napi_env env, napi_value exports);
void path_remover_register(napi_env env, napi_value exports);
void datagram_peer_register(napi_env env, napi_value exports);
void guest_memory_register(napi_env env, napi_value exports);
void limit_register(napi_env env, napi_value exports);

/* Puts a function on the exports, with the environment's `struct addon` as its callback data. */
void addon_function(napi_env env, napi_value exports, const char *name, napi_callback function);

/*
 * Reads exactly `count` arguments, and the addon unless it is NULL. Those that the caller left out are `undefined`,
 * which no reader below takes for a number. False: an exception is pending, return NULL.
 */
bool addon_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *values, struct addon **addon);

/* Reads `count` values as int32, or throws a TypeError. */
bool addon_integers(napi_env env, const napi_value *values, size_t count, int32_t *integers);

/* Both at once, for functions that take integers only; at most ADDON_INTEGERS_MAX of them. */
#define ADDON_INTEGERS_MAX 12
bool addon_integer_arguments(napi_env env, napi_callback_info info, size_t count, int32_t *integers,
                             struct addon **addon);

/*
 * An Int32Array argument of at least `words` words, or NULL with a RangeError. `available`: how many it has, unless
 * NULL.
 */
int32_t *addon_words(napi_env env, napi_value value, size_t words, size_t *available);

/* A JavaScript number. */
napi_value addon_number(napi_env env, int64_t value);

/*
 * What a system call returned: its result, or -errno when it is negative. To be called before anything can change
 * errno.
 */
napi_value addon_result(napi_env env, int64_t result);

/* Throws a RangeError and returns NULL. */
napi_value addon_range_error(napi_env env, const char *message);

/* memory.c: `length` bytes of a registered memory from `at` on; NULL with a RangeError when they are not all inside. */
uint8_t *memory_bytes(napi_env env, const struct addon *addon, int32_t id, int32_t at, int32_t length);

/* memory.c: `count` words from word `at` on, of a memory that was registered as an Int32Array. */
int32_t *memory_words(napi_env env, const struct addon *addon, int32_t id, int32_t at, int64_t count);

/* memory.c, poll.c: give everything back when the environment ends. */
void memory_release(napi_env env, struct addon *addon);

#endif
