/*
 * Readiness and time: epoll, timerfd, the monotonic clock, and the watch, which is how the engine lives in Node's
 * event loop.
 *
 * One epoll descriptor holds all others. It is itself readable when any of them is ready, so a watch (uv_poll_t) of
 * this one descriptor is all that libuv ever sees; when it fires, JavaScript collects what is ready with pollCollect,
 * which never waits.
 *
 * A watch belongs to its environment: an asynchronous clean-up hook closes it when a worker ends while it is open.
 * Its callback runs through napi_make_callback, so that promises and process.nextTick run behind it as behind any
 * other event.
 */
#include "addon.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <uv.h>

/* Ready descriptors that one call collects; the others come with the next call, since epoll gives everyone a turn. */
#define EVENTS_MAX 1024
#define EVENT_WORDS 2

struct watch {
  uv_poll_t poll;
  struct watch *next;
  struct addon *addon;
  int32_t id;
  napi_env env;
  napi_ref callback;
  napi_async_context context;
  napi_async_cleanup_hook_handle hook;
};

static int64_t poll_nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* nowUs() */
static napi_value poll_now_us(napi_env env, napi_callback_info info) {
  (void)info;
  napi_value number = NULL;
  napi_create_double(env, (double)(poll_nanoseconds() / 1000), &number);
  return number;
}

/* pollCreate() */
static napi_value poll_create(napi_env env, napi_callback_info info) {
  (void)info;
  return addon_result(env, epoll_create1(EPOLL_CLOEXEC));
}

/* pollControl(poll, operation, fd, events, token) */
static napi_value poll_control(napi_env env, napi_callback_info info) {
  int32_t a[5];
  if (!addon_integer_arguments(env, info, 5, a, NULL)) return NULL;
  struct epoll_event event = {.events = (uint32_t)a[3], .data.u64 = (uint32_t)a[4]};
  return addon_result(env, epoll_ctl(a[0], a[1], a[2], &event));
}

/* pollCollect(poll, events: Int32Array, eventsMax, spinUs): asks again and again for up to spinUs, never sleeps. */
static napi_value poll_collect(napi_env env, napi_callback_info info) {
  napi_value values[4];
  int32_t poll, limits[2];
  if (!addon_arguments(env, info, 4, values, NULL) || !addon_integers(env, values, 1, &poll) ||
      !addon_integers(env, values + 2, 2, limits))
    return NULL;
  const int32_t events_max = limits[0], spin_us = limits[1];
  if (events_max <= 0) return addon_range_error(env, "eventsMax is not positive");
  int32_t *words = addon_words(env, values[1], (size_t)events_max * EVENT_WORDS, NULL);
  if (words == NULL) return NULL;
  struct epoll_event events[EVENTS_MAX];
  const int64_t until = spin_us > 0 ? poll_nanoseconds() + (int64_t)spin_us * 1000 : 0;
  int count;
  do count = epoll_wait(poll, events, events_max < EVENTS_MAX ? events_max : EVENTS_MAX, 0);
  while ((count < 0 && errno == EINTR) || (count == 0 && spin_us > 0 && poll_nanoseconds() < until));
  for (int i = 0; i < count; i++) {
    words[i * EVENT_WORDS] = (int32_t)events[i].events;
    words[i * EVENT_WORDS + 1] = (int32_t)(uint32_t)events[i].data.u64;
  }
  return addon_result(env, count);
}

/* timerCreate() */
static napi_value poll_timer_create(napi_env env, napi_callback_info info) {
  (void)info;
  return addon_result(env, timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
}

/* timerSet(fd, delayUs). The kernel refuses a negative delay (EINVAL). */
static napi_value poll_timer_set(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int32_t fd;
  int64_t delay_us;
  if (!addon_arguments(env, info, 2, values, NULL) || !addon_integers(env, values, 1, &fd)) return NULL;
  if (napi_get_value_int64(env, values[1], &delay_us) != napi_ok) {
    napi_throw_type_error(env, NULL, "a number was expected");
    return NULL;
  }
  const struct itimerspec when = {
      .it_value = {.tv_sec = delay_us / 1000000, .tv_nsec = delay_us % 1000000 * 1000},
  };
  return addon_result(env, timerfd_settime(fd, 0, &when, NULL));
}

static void watch_fired(uv_poll_t *poll, int status, int events) {
  (void)status; /* an error is found by whoever reads the descriptor */
  (void)events;
  struct watch *watch = poll->data;
  napi_env env = watch->env;
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  napi_value callback, global, error;
  if (napi_get_reference_value(env, watch->callback, &callback) == napi_ok &&
      napi_get_global(env, &global) == napi_ok) {
    /* From here on the callback may have closed the watch. */
    if (napi_make_callback(env, watch->context, global, callback, 0, NULL, NULL) == napi_pending_exception &&
        napi_get_and_clear_last_exception(env, &error) == napi_ok)
      napi_fatal_exception(env, error);
  }
  napi_close_handle_scope(env, scope);
}

static void watch_closed(uv_handle_t *handle) {
  struct watch *watch = handle->data;
  napi_remove_async_cleanup_hook(watch->hook);
  free(watch);
}

static void watch_close(struct watch *watch) {
  struct watch **link = &watch->addon->watches;
  while (*link != watch) link = &(*link)->next;
  *link = watch->next;
  napi_delete_reference(watch->env, watch->callback);
  napi_async_destroy(watch->env, watch->context);
  uv_close((uv_handle_t *)&watch->poll, watch_closed);
}

static void watch_environment_ends(napi_async_cleanup_hook_handle hook, void *data) {
  (void)hook;
  struct watch *watch = data;
  if (!uv_is_closing((uv_handle_t *)&watch->poll)) watch_close(watch);
}

/* Makes what a watch needs of Node; what was made before something failed is given back. */
static bool watch_attach(napi_env env, struct watch *watch, napi_value callback) {
  napi_value name;
  if (napi_create_string_utf8(env, "tapster:watch", NAPI_AUTO_LENGTH, &name) != napi_ok) return false;
  if (napi_create_reference(env, callback, 1, &watch->callback) != napi_ok) return false;
  if (napi_async_init(env, NULL, name, &watch->context) == napi_ok) {
    if (napi_add_async_cleanup_hook(env, watch_environment_ends, watch, &watch->hook) == napi_ok) return true;
    napi_async_destroy(env, watch->context);
  }
  napi_delete_reference(env, watch->callback);
  return false;
}

/* watchReadable(fd, callback: () => void): a handle above 0, or -errno. Keeps the event loop alive until unwatched. */
static napi_value watch_open(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int32_t fd;
  struct addon *addon;
  napi_valuetype type = napi_undefined;
  uv_loop_t *loop;
  if (!addon_arguments(env, info, 2, values, &addon) || !addon_integers(env, values, 1, &fd)) return NULL;
  if (napi_typeof(env, values[1], &type) != napi_ok || type != napi_function) {
    napi_throw_type_error(env, NULL, "a function was expected");
    return NULL;
  }
  struct watch *watch = calloc(1, sizeof *watch);
  if (watch == NULL || napi_get_uv_event_loop(env, &loop) != napi_ok) {
    free(watch);
    return addon_number(env, -ENOMEM);
  }
  /* Fails before the handle is part of the loop, for descriptors that can not be polled. */
  int error = uv_poll_init(loop, &watch->poll, fd);
  if (error != 0) {
    free(watch);
    return addon_number(env, error);
  }
  watch->env = env;
  watch->addon = addon;
  watch->poll.data = watch;
  if (!watch_attach(env, watch, values[1]))
    napi_fatal_error("watch_open", NAPI_AUTO_LENGTH, "out of memory", NAPI_AUTO_LENGTH);
  watch->id = ++addon->last_watch;
  watch->next = addon->watches;
  addon->watches = watch;
  error = uv_poll_start(&watch->poll, UV_READABLE, watch_fired);
  if (error != 0) {
    watch_close(watch);
    return addon_number(env, error);
  }
  return addon_number(env, watch->id);
}

static struct watch *watch_find(napi_env env, const struct addon *addon, int32_t id) {
  struct watch *watch = addon->watches;
  while (watch != NULL && watch->id != id) watch = watch->next;
  if (watch == NULL) addon_range_error(env, "no watch has this handle");
  return watch;
}

/* unwatch(handle): the callback is not called again. To be called before the descriptor is closed. */
static napi_value watch_unwatch(napi_env env, napi_callback_info info) {
  int32_t id;
  struct addon *addon;
  if (!addon_integer_arguments(env, info, 1, &id, &addon)) return NULL;
  struct watch *watch = watch_find(env, addon, id);
  if (watch != NULL) watch_close(watch);
  return NULL;
}

/* watchReference(handle, keepsAlive: boolean): whether the event loop stays alive for this watch. */
static napi_value watch_reference(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int32_t id;
  bool keeps_alive;
  struct addon *addon;
  if (!addon_arguments(env, info, 2, values, &addon) || !addon_integers(env, values, 1, &id)) return NULL;
  if (napi_get_value_bool(env, values[1], &keeps_alive) != napi_ok) {
    napi_throw_type_error(env, NULL, "a boolean was expected");
    return NULL;
  }
  struct watch *watch = watch_find(env, addon, id);
  if (watch == NULL) return NULL;
  if (keeps_alive) uv_ref((uv_handle_t *)&watch->poll);
  else uv_unref((uv_handle_t *)&watch->poll);
  return NULL;
}

void poll_register(napi_env env, napi_value exports) {
  addon_function(env, exports, "nowUs", poll_now_us);
  addon_function(env, exports, "pollCreate", poll_create);
  addon_function(env, exports, "pollControl", poll_control);
  addon_function(env, exports, "pollCollect", poll_collect);
  addon_function(env, exports, "timerCreate", poll_timer_create);
  addon_function(env, exports, "timerSet", poll_timer_set);
  addon_function(env, exports, "watchReadable", watch_open);
  addon_function(env, exports, "unwatch", watch_unwatch);
  addon_function(env, exports, "watchReference", watch_reference);
}
