/*
 * What takes rights away from this process, for good: Landlock rulesets, credentials of every thread, seccomp filters,
 * and the message of a call that a filter forbids.
 *
 * Linux keeps credentials, no_new_privs and Landlock domains for each *thread*, and Node has a dozen of them before the
 * first line of JavaScript runs. So `confineThreads` has every thread confine itself: each is sent a signal, whose
 * handler makes the calls there, as the C library does for setuid(2). The signal is the one that the C library keeps
 * for that purpose: a thread that blocks all signals (Node's inspector does) leaves this one open. A thread that is
 * made later has what its maker has. seccomp(2) needs none of this: it has a flag for all threads.
 *
 * No policy is here: which files, which calls and which names for them comes from JavaScript (src/sys/sandbox.ts).
 */
#include "addon.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The numbers are the same on every architecture; the C library's headers may be older. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

/* linux/landlock.h, which may be missing or older; a kernel that knows less takes the rest when it is zero. */
#define LANDLOCK_VERSION 1U
#define LANDLOCK_PATH_BENEATH 1
struct landlock_ruleset {
  uint64_t files;
  uint64_t network;
  uint64_t scopes;
};
struct landlock_path {
  uint64_t rights;
  int32_t parent;
} __attribute__((packed));

/* The C library's signal for set*id(2): SIGSETXID of glibc, SIGCANCEL of musl. sigaction(3) refuses it. */
#define THREAD_SIGNAL 33
#define THREADS_MAX 512
#define THREAD_TIMEOUT_MS 2000
/* Between two looks at threads that have not answered: most do within 50 us. */
#define THREAD_LOOK_NS 20000

#define FILTER_WORDS_MAX (2 * BPF_MAXINSNS)
#define NAME_BYTES 32

/* struct sigaction as the kernel has it, on x86-64 and arm64. */
struct kernel_action {
  void (*handler)(int, siginfo_t *, void *);
  unsigned long flags;
  void (*restorer)(void);
  uint64_t mask;
};
#define FLAG_RESTORER 0x04000000UL

/* What a thread gives up. */
struct confinement {
  int ruleset;            /* a Landlock ruleset, or -1 */
  bool capabilities_only; /* keeps the user that files are opened as */
  uint32_t file_user;
};

enum thread_state { THREAD_ASKED, THREAD_CONFINED, THREAD_GONE };

struct thread {
  pid_t id;
  _Atomic int state;
  int error;
};

/* Handlers have no argument of ours. One confinement at a time, by the main thread. */
static struct confinement confinement;
static struct thread threads[THREADS_MAX];
static _Atomic int threads_count;

static char (*call_names)[NAME_BYTES];
static uint32_t call_names_count;

/* --- a call that is forbidden --- */

static size_t append(char *text, size_t at, const char *more) {
  size_t length = strlen(more);
  memcpy(text + at, more, length);
  return at + length;
}

static size_t append_number(char *text, size_t at, uint32_t number) {
  char digits[10];
  size_t count = 0;
  do digits[count++] = (char)('0' + number % 10);
  while ((number /= 10) != 0);
  while (count > 0) text[at++] = digits[--count];
  return at;
}

/*
 * SIGSYS: the filter's TRAP. Says which call it was, and makes the signal do what it does by default: the disposition
 * is reset already.
 */
static void forbidden_handler(int number, siginfo_t *information, void *context) {
  (void)context;
  uint32_t call = (uint32_t)information->si_syscall;
  char text[256];
  size_t at = append(text, 0, "tapster: the sandbox forbids the system call ");
  at = append(text, at, call < call_names_count && call_names[call][0] != 0 ? call_names[call] : "number");
  at = append(text, at, " (");
  at = append_number(text, at, call);
  at = append(text, at, "): the network ends here. If nothing attacked it, that is a bug; --no-sandbox does without\n");
  ssize_t written = write(2, text, at);
  (void)written;
  syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), number);
}

/*
 * sandboxNames(names: Uint8Array): installs the handler of SIGSYS. `names` has 32 bytes for each number of a system
 * call, its name and zeros. 0 or -errno.
 */
static napi_value sandbox_names(napi_env env, napi_callback_info info) {
  napi_value value;
  napi_typedarray_type type;
  size_t length = 0;
  void *data = NULL;
  if (!addon_arguments(env, info, 1, &value, NULL)) return NULL;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, NULL, NULL) != napi_ok || type != napi_uint8_array) {
    napi_throw_type_error(env, NULL, "a Uint8Array was expected");
    return NULL;
  }
  if (call_names == NULL) {
    char(*names)[NAME_BYTES] = malloc(length > 0 ? length : 1);
    if (names == NULL) return addon_number(env, -ENOMEM);
    if (length > 0) memcpy(names, data, length);
    for (size_t i = 0; i < length / NAME_BYTES; i++) names[i][NAME_BYTES - 1] = 0;
    call_names = names;
    call_names_count = (uint32_t)(length / NAME_BYTES);
  }
  struct sigaction action = {.sa_sigaction = forbidden_handler, .sa_flags = SA_SIGINFO | SA_RESETHAND | SA_NODEFER};
  return addon_result(env, sigaction(SIGSYS, &action, NULL));
}

/* --- Landlock --- */

/* landlockVersion(): the version of the kernel's interface, 1 and more, or -errno where there is none. */
static napi_value landlock_version(napi_env env, napi_callback_info info) {
  (void)info;
  return addon_result(env, syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION));
}

/* landlockCreate(files, scopes): a ruleset that denies these rights on files, and these ways out; or -errno. */
static napi_value landlock_create(napi_env env, napi_callback_info info) {
  int32_t a[2];
  if (!addon_integer_arguments(env, info, 2, a, NULL)) return NULL;
  const struct landlock_ruleset ruleset = {.files = (uint32_t)a[0], .network = 0, .scopes = (uint32_t)a[1]};
  return addon_result(env, syscall(SYS_landlock_create_ruleset, &ruleset, sizeof ruleset, 0));
}

/* landlockAllow(ruleset, path, rights): gives rights back on what is at `path` and beneath. 0 or -errno. */
static napi_value landlock_allow(napi_env env, napi_callback_info info) {
  napi_value values[3];
  int32_t ruleset, rights;
  char path[4096];
  size_t length = 0;
  if (!addon_arguments(env, info, 3, values, NULL) || !addon_integers(env, values, 1, &ruleset) ||
      !addon_integers(env, values + 2, 1, &rights))
    return NULL;
  if (napi_get_value_string_utf8(env, values[1], path, sizeof path, &length) != napi_ok) {
    napi_throw_type_error(env, NULL, "a string was expected");
    return NULL;
  }
  int fd = open(path, O_PATH | O_CLOEXEC);
  if (fd < 0) return addon_result(env, fd);
  const struct landlock_path rule = {.rights = (uint32_t)rights, .parent = fd};
  int error = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_PATH_BENEATH, &rule, 0) < 0 ? -errno : 0;
  close(fd);
  return addon_number(env, error);
}

/* --- what every thread gives up --- */

/*
 * Async-signal-safe; system calls alone, since the C library's functions for credentials mean all threads. 0 or an
 * errno. The order matters: the last one takes the right to make the others.
 */
static int confine_this_thread(void) {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return errno;
  if (!confinement.capabilities_only) {
    /* Refused where this user does not exist, as in a user namespace: `confineThreads` tells. */
    syscall(SYS_setgroups, 0, NULL);
    syscall(SYS_setfsgid, confinement.file_user);
    syscall(SYS_setfsuid, confinement.file_user);
  }
  if (confinement.ruleset >= 0 && syscall(SYS_landlock_restrict_self, confinement.ruleset, 0) < 0) return errno;
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3];
  memset(none, 0, sizeof none);
  return syscall(SYS_capset, &header, none) < 0 ? errno : 0;
}

static void confine_handler(int number, siginfo_t *information, void *context) {
  (void)number;
  (void)context;
  if (information->si_code != SI_TKILL || information->si_pid != getpid()) return;
  const int saved = errno;
  const pid_t self = (pid_t)syscall(SYS_gettid);
  for (int i = 0; i < threads_count; i++) {
    if (threads[i].id != self || threads[i].state != THREAD_ASKED) continue;
    threads[i].error = confine_this_thread();
    threads[i].state = THREAD_CONFINED;
  }
  errno = saved;
}

static bool is_known(pid_t id) {
  for (int i = 0; i < threads_count; i++)
    if (threads[i].id == id && threads[i].state != THREAD_GONE) return true;
  return false;
}

/* Asks every thread that has not been asked, but for this one. How many they were, or -errno. */
static int ask_threads(DIR *tasks) {
  const pid_t self = (pid_t)syscall(SYS_gettid);
  int asked = 0;
  rewinddir(tasks);
  for (const struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
    const pid_t id = (pid_t)atoi(entry->d_name);
    if (id <= 0 || id == self || is_known(id)) continue;
    if (threads_count == THREADS_MAX) return -E2BIG;
    struct thread *thread = &threads[threads_count];
    thread->id = id;
    thread->error = 0;
    thread->state = THREAD_ASKED;
    threads_count++;
    if (syscall(SYS_tgkill, getpid(), id, THREAD_SIGNAL) < 0) thread->state = THREAD_GONE;
    asked++;
  }
  return asked;
}

/* Waits until those that were asked have confined themselves or ended. 0 or -errno. */
static int await_threads(void) {
  const struct timespec look = {.tv_sec = 0, .tv_nsec = THREAD_LOOK_NS};
  int64_t left = (int64_t)THREAD_TIMEOUT_MS * 1000000 / THREAD_LOOK_NS;
  for (int i = 0; i < threads_count; i++) {
    struct thread *thread = &threads[i];
    while (thread->state == THREAD_ASKED && left-- > 0) {
      nanosleep(&look, NULL);
      if (thread->state == THREAD_ASKED && syscall(SYS_tgkill, getpid(), thread->id, 0) < 0)
        thread->state = THREAD_GONE;
    }
    if (thread->state == THREAD_ASKED) return -ETIMEDOUT;
    if (thread->error != 0) return -thread->error;
  }
  return 0;
}

/* Until no thread is found that a thread not yet confined has made meanwhile. */
static int confine_other_threads(DIR *tasks) {
  for (;;) {
    const int asked = ask_threads(tasks);
    if (asked <= 0) return asked;
    const int error = await_threads();
    if (error < 0) return error;
  }
}

/* confine_other_threads with the handler installed. */
static int confine_with_handler(DIR *tasks) {
  /* The handler of SIGSYS shows how the C library has handlers return; it is installed before. */
  struct kernel_action like, action, previous;
  memset(&like, 0, sizeof like);
  if (syscall(SYS_rt_sigaction, SIGSYS, NULL, &like, sizeof like.mask) < 0) return -errno;
  action = like;
  action.handler = confine_handler;
  action.flags = SA_SIGINFO | SA_RESTART | (like.flags & FLAG_RESTORER);
  action.mask = ~UINT64_C(0);
  if (syscall(SYS_rt_sigaction, THREAD_SIGNAL, &action, &previous, sizeof action.mask) < 0) return -errno;
  const int error = confine_other_threads(tasks);
  /* Who answers too late finds a handler still: by default the signal would end the process. */
  if (error == 0) syscall(SYS_rt_sigaction, THREAD_SIGNAL, &previous, NULL, sizeof previous.mask);
  return error;
}

/*
 * confineThreads(ruleset, fileUser): every thread sets no_new_privs, enters the Landlock ruleset (-1: none) and drops
 * its capabilities; with a `fileUser` above 0 it opens files as that user and group. Nobody but root may look into
 * the process from now on. `sandboxNames` comes before. Returns the user that files are opened as, or -errno: then
 * some threads may be confined and others not.
 */
static napi_value confine_threads(napi_env env, napi_callback_info info) {
  int32_t a[2];
  if (!addon_integer_arguments(env, info, 2, a, NULL)) return NULL;
  confinement = (struct confinement){.ruleset = a[0], .capabilities_only = a[1] <= 0, .file_user = (uint32_t)a[1]};
  threads_count = 0;
  DIR *tasks = opendir("/proc/self/task");
  if (tasks == NULL) return addon_result(env, -1);
  int error = confine_with_handler(tasks);
  closedir(tasks);
  /* A change of user takes this signal away, which our own parent may rely on. */
  int parent_death = 0;
  prctl(PR_GET_PDEATHSIG, &parent_death);
  if (error == 0) error = -confine_this_thread();
  if (error < 0) return addon_number(env, error);
  prctl(PR_SET_PDEATHSIG, parent_death);
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0) return addon_result(env, -1);
  /* -1 is no user: nothing changes, and the one there is is returned. */
  return addon_number(env, (uint32_t)syscall(SYS_setfsuid, -1));
}

/* --- seccomp --- */

/* seccompAvailable(): 0, or -errno where the kernel has no filters that can trap. */
static napi_value seccomp_available(napi_env env, napi_callback_info info) {
  (void)info;
  const uint32_t action = SECCOMP_RET_TRAP;
  return addon_result(env, syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action));
}

/*
 * seccompInstall(program: Int32Array): a filter for all threads, two words for each instruction: code, jt and jf as
 * struct sock_filter has them, and k. no_new_privs must be set. 0, or -errno; -ESRCH when a thread has another filter.
 *
 * SPEC_ALLOW: kernels before 5.16 would otherwise switch speculation off, which costs V8 much and protects nothing:
 * no foreign code runs in this process.
 */
static napi_value seccomp_install(napi_env env, napi_callback_info info) {
  napi_value value;
  size_t words = 0;
  if (!addon_arguments(env, info, 1, &value, NULL)) return NULL;
  int32_t *program = addon_words(env, value, 2, &words);
  if (program == NULL) return NULL;
  if (words % 2 != 0 || words > FILTER_WORDS_MAX) return addon_range_error(env, "a filter is not of this length");
  struct sock_filter *filter = malloc(words / 2 * sizeof *filter);
  if (filter == NULL) return addon_number(env, -ENOMEM);
  memcpy(filter, program, words / 2 * sizeof *filter);
  const struct sock_fprog loaded = {.len = (unsigned short)(words / 2), .filter = filter};
  const unsigned flags = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW;
  long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &loaded);
  /* Before 4.17 there is no SPEC_ALLOW. */
  if (result < 0 && errno == EINVAL)
    result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &loaded);
  if (result < 0) result = -errno;
  free(filter);
  return addon_number(env, result > 0 ? -ESRCH : result);
}

void sandbox_register(napi_env env, napi_value exports) {
  addon_function(env, exports, "sandboxNames", sandbox_names);
  addon_function(env, exports, "landlockVersion", landlock_version);
  addon_function(env, exports, "landlockCreate", landlock_create);
  addon_function(env, exports, "landlockAllow", landlock_allow);
  addon_function(env, exports, "confineThreads", confine_threads);
  addon_function(env, exports, "seccompAvailable", seccomp_available);
  addon_function(env, exports, "seccompInstall", seccomp_install);
}
