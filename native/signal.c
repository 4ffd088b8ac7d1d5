/*
 * Signals with their origin, and the terminal's foreground process group.
 *
 * A program that runs a command on a terminal must know where a signal came from. Ctrl-C reaches the whole foreground
 * group, the command too (si_code is SI_KERNEL), and must not be passed on again; a kill(2) of ours alone must be.
 * Node's own handlers do not tell, signalfd(2) would need the signals blocked in every thread of Node, so these
 * handlers write one record of three int32 to a pipe: signal number, si_code, si_pid.
 *
 * Dispositions belong to the process: so does the pipe, which is made once and kept, since a handler may run at any
 * moment in any thread. Do not mix with process.on('SIGINT') for the same signals: the last one to install wins. A
 * record is dropped when the pipe is full (more than 5000 unread signals).
 */
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/types.h>
#include <unistd.h>

#define SIGNALS_MAX 65

struct signal_record {
  int32_t number;
  int32_t code;
  int32_t pid;
};

static int signal_pipe[2] = {-1, -1};
static struct sigaction signal_previous[SIGNALS_MAX];
static bool signal_installed[SIGNALS_MAX];

static void signal_handler(int number, siginfo_t *information, void *context) {
  (void)context;
  const int saved = errno;
  const struct signal_record record = {
      .number = number, .code = information->si_code, .pid = (int32_t)information->si_pid};
  ssize_t written = write(signal_pipe[1], &record, sizeof record);
  (void)written;
  errno = saved;
}

/* Puts the disposition back that was there before. Returns 0 or -errno. */
static int signal_uninstall(int number) {
  if (!signal_installed[number]) return 0;
  signal_installed[number] = false;
  return sigaction(number, &signal_previous[number], NULL) < 0 ? -errno : 0;
}

/* Returns 1, 0 when it was installed before, or -errno. */
static int signal_install(int number) {
  if (number <= 0 || number >= SIGNALS_MAX) return -EINVAL;
  if (signal_installed[number]) return 0;
  struct sigaction action = {.sa_sigaction = signal_handler, .sa_flags = SA_SIGINFO | SA_RESTART};
  sigfillset(&action.sa_mask);
  if (sigaction(number, &action, &signal_previous[number]) < 0) return -errno;
  signal_installed[number] = true;
  return 1;
}

/* Installs all, or none and returns -errno. */
static int signal_install_all(const int32_t *numbers, uint32_t count) {
  bool ours[SIGNALS_MAX] = {false};
  for (uint32_t i = 0; i < count; i++) {
    const int result = signal_install(numbers[i]);
    if (result > 0) ours[numbers[i]] = true;
    if (result >= 0) continue;
    for (int number = 1; number < SIGNALS_MAX; number++)
      if (ours[number]) signal_uninstall(number);
    return result;
  }
  return 0;
}

/*
 * signalDescriptor(numbers: number[]): the descriptor that records are read from, or -errno, with no disposition
 * changed. The descriptor is the addon's: stop watching it, but do not close it.
 */
static napi_value signal_descriptor(napi_env env, napi_callback_info info) {
  napi_value array;
  uint32_t count;
  int32_t numbers[SIGNALS_MAX];
  if (!addon_arguments(env, info, 1, &array, NULL)) return NULL;
  if (napi_get_array_length(env, array, &count) != napi_ok) {
    napi_throw_type_error(env, NULL, "an array was expected");
    return NULL;
  }
  if (count > SIGNALS_MAX) return addon_range_error(env, "there are not so many signals");
  for (uint32_t i = 0; i < count; i++) {
    napi_value value;
    if (napi_get_element(env, array, i, &value) != napi_ok || !addon_integers(env, &value, 1, &numbers[i])) return NULL;
  }
  if (signal_pipe[0] < 0 && pipe2(signal_pipe, O_NONBLOCK | O_CLOEXEC) < 0) return addon_result(env, -1);
  const int result = signal_install_all(numbers, count);
  return addon_number(env, result < 0 ? result : signal_pipe[0]);
}

/* signalRestore(): dispositions as they were; what was not read is dropped. */
static napi_value signal_restore(napi_env env, napi_callback_info info) {
  (void)info;
  int result = 0;
  for (int number = 1; number < SIGNALS_MAX; number++) {
    const int restored = signal_uninstall(number);
    if (result == 0) result = restored;
  }
  struct signal_record record;
  while (signal_pipe[0] >= 0 && read(signal_pipe[0], &record, sizeof record) > 0) continue;
  return addon_number(env, result);
}

/* terminalForeground(fd): the terminal's foreground process group, or -errno. */
static napi_value terminal_foreground(napi_env env, napi_callback_info info) {
  int32_t fd;
  if (!addon_integer_arguments(env, info, 1, &fd, NULL)) return NULL;
  return addon_result(env, tcgetpgrp(fd));
}

/*
 * setTerminalForeground(fd, group). From the background this would stop us with SIGTTOU, so that is blocked
 * meanwhile.
 */
static napi_value terminal_set_foreground(napi_env env, napi_callback_info info) {
  int32_t a[2];
  if (!addon_integer_arguments(env, info, 2, a, NULL)) return NULL;
  sigset_t stop, previous;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTTOU);
  pthread_sigmask(SIG_BLOCK, &stop, &previous);
  int result = tcsetpgrp(a[0], a[1]);
  if (result < 0) result = -errno;
  pthread_sigmask(SIG_SETMASK, &previous, NULL);
  return addon_number(env, result);
}

/* processGroup() */
static napi_value process_group(napi_env env, napi_callback_info info) {
  (void)info;
  return addon_number(env, getpgrp());
}

/* raise(signal): to the process, not to this thread, as if another had sent it. */
static napi_value process_raise(napi_env env, napi_callback_info info) {
  int32_t number;
  if (!addon_integer_arguments(env, info, 1, &number, NULL)) return NULL;
  return addon_result(env, kill(getpid(), number));
}

void signal_register(napi_env env, napi_value exports) {
  addon_function(env, exports, "signalDescriptor", signal_descriptor);
  addon_function(env, exports, "signalRestore", signal_restore);
  addon_function(env, exports, "terminalForeground", terminal_foreground);
  addon_function(env, exports, "setTerminalForeground", terminal_set_foreground);
  addon_function(env, exports, "processGroup", process_group);
  addon_function(env, exports, "raise", process_raise);
}
