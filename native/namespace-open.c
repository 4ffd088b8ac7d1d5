/*
 * Network namespaces that exist already: their type, sockets and taps that belong to them, and their sysctls.
 *
 * What /dev/net/tun and socket(2) give belongs to the network namespace of the thread that opened it, for good. Only
 * these calls have to be made inside; all others work on the descriptor from anywhere. So a child goes there, which
 * shares our table of descriptors (CLONE_FILES) and ends when it has opened them. A thread would not do: joining the
 * user namespace of a container takes a process with one thread. We ourselves never leave our namespaces.
 */
#include "namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/nsfs.h>
#include <linux/sockios.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* namespaceType(fd): the CLONE_NEW* flag of the namespace; -ENOTTY for a descriptor that is none of a namespace. */
static napi_value namespace_type(napi_env env, napi_callback_info info) {
  int32_t fd;
  if (!addon_integer_arguments(env, info, 1, &fd, NULL)) return NULL;
  return addon_result(env, ioctl(fd, NS_GET_NSTYPE));
}

/* socketNamespace(fd): a descriptor of the network namespace that a socket belongs to, or -errno. */
static napi_value socket_namespace(napi_env env, napi_callback_info info) {
  int32_t fd;
  if (!addon_integer_arguments(env, info, 1, &fd, NULL)) return NULL;
  return addon_result(env, ioctl(fd, SIOCGSKNS));
}

/* processOpen(pid): a descriptor that becomes readable when the process has ended, or -errno. */
static napi_value process_open(napi_env env, napi_callback_info info) {
  int32_t pid;
  if (!addon_integer_arguments(env, info, 1, &pid, NULL)) return NULL;
#ifdef SYS_pidfd_open
  return addon_result(env, (int)syscall(SYS_pidfd_open, pid, 0));
#else
  return addon_number(env, -ENOSYS);
#endif
}

/* Between the child and us, in memory that both have. */
struct opening {
  int32_t namespace_fd;
  int32_t user_fd; /* the user namespace to join first; -1: its owner, where that is needed */
  int32_t taps;
  const struct namespace_pair *sysctls;
  int32_t sysctls_count;
  int32_t step;  /* of enum namespace_open_step; 0: all is done */
  int32_t error; /* errno */
  int32_t count;
  int32_t descriptors[1 + NAMESPACE_OPEN_TAPS_MAX]; /* netlink, then the taps */
  int32_t refused[NAMESPACE_SYSCTLS_MAX];           /* errno of each sysctl */
};

/*
 * Privilege over a namespace is privilege in the user namespace that owns it. Whoever made that one, and is not
 * inside, has it there; so we join it where we have too little where we are.
 */
int namespace_enter(int fd) {
  if (setns(fd, CLONE_NEWNET) == 0) return 0;
  if (errno != EPERM) return errno;
  int user = ioctl(fd, NS_GET_USERNS);
  if (user < 0) return EPERM;
  int joined = setns(user, CLONE_NEWUSER);
  close(user);
  if (joined < 0) return EPERM;
  return setns(fd, CLONE_NEWNET) == 0 ? 0 : errno;
}

static void enter(struct opening *opening) {
  opening->step = NAMESPACE_OPEN_ENTER;
  /* EINVAL: we are in there already. */
  if (opening->user_fd >= 0 && setns(opening->user_fd, CLONE_NEWUSER) < 0 && errno != EINVAL) {
    opening->error = errno;
    _exit(0);
  }
  if ((opening->error = namespace_enter(opening->namespace_fd)) != 0) _exit(0);
}

_Noreturn static void open_inside(struct opening *opening) {
  enter(opening);
  opening->step = NAMESPACE_OPEN_NETLINK;
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  while (fd >= 0) {
    opening->descriptors[opening->count++] = fd;
    if (opening->count == 1 + opening->taps) {
      opening->step = 0;
      _exit(0);
    }
    opening->step = NAMESPACE_OPEN_TUN;
    fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  }
  opening->error = errno;
  _exit(0);
}

/* /proc/sys/net shows the network namespace of whoever opens it. */
_Noreturn static void write_inside(struct opening *opening) {
  enter(opening);
  for (int32_t i = 0; i < opening->sysctls_count; i++) {
    int fd = open(opening->sysctls[i].path, O_WRONLY | O_CLOEXEC);
    ssize_t length = (ssize_t)strlen(opening->sysctls[i].value);
    if (fd < 0) opening->refused[i] = errno;
    else if (write(fd, opening->sysctls[i].value, (size_t)length) < length) opening->refused[i] = errno;
    if (fd >= 0) close(fd);
  }
  opening->step = 0;
  _exit(0);
}

/* 0 or -errno; what the child got done stands in `opening`. */
static int run_child(struct opening *opening, void (*work)(struct opening *)) {
  /* No signal may reach a handler of ours in the child: it would write to descriptors that we share. */
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  /* No exit signal: the child is nobody's business but ours. */
  long pid = syscall(SYS_clone, (unsigned long)CLONE_FILES, NULL, NULL, NULL, NULL);
  int error = errno;
  if (pid == 0) work(opening);
  if (pid > 0)
    while (waitpid((pid_t)pid, NULL, __WALL) < 0 && errno == EINTR) continue;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (pid < 0) return -error;
  return opening->step == 0 ? 0 : -opening->error;
}

/* Memory for both; NULL with errno. */
static struct opening *new_opening(int32_t namespace_fd, int32_t user_fd) {
  struct opening *opening =
      mmap(NULL, sizeof *opening, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (opening == MAP_FAILED) return NULL;
  opening->namespace_fd = namespace_fd;
  opening->user_fd = user_fd;
  opening->step = NAMESPACE_OPEN_PROCESS;
  opening->error = ECANCELED; /* what is left when the child was killed */
  return opening;
}

/*
 * namespaceOpenInside(namespaceFd, userFd, taps, result): opens a NETLINK_ROUTE socket in a network namespace, and
 * /dev/net/tun as many times as `taps` says. `userFd`: the user namespace to join first; -1: the owner of the network namespace, where
 * that is needed. 0 or -errno.
 *
 * | result | the step that failed (enum namespace_open_step), or 0; then the netlink socket, then the taps |
 */
static napi_value namespace_open_inside(napi_env env, napi_callback_info info) {
  napi_value values[4];
  int32_t numbers[3];
  if (!addon_arguments(env, info, 4, values, NULL) || !addon_integers(env, values, 3, numbers)) return NULL;
  if (numbers[2] < 0 || numbers[2] > NAMESPACE_OPEN_TAPS_MAX) return addon_range_error(env, "too many taps");
  int32_t *result = addon_words(env, values[3], (size_t)numbers[2] + 2, NULL);
  if (result == NULL) return NULL;
  struct opening *opening = new_opening(numbers[0], numbers[1]);
  if (opening == NULL) return addon_result(env, -1);
  opening->taps = numbers[2];
  int error = run_child(opening, open_inside);
  result[0] = opening->step;
  for (int i = 0; i < opening->count; i++) {
    if (error == 0) result[1 + i] = opening->descriptors[i];
    else close(opening->descriptors[i]);
  }
  munmap(opening, sizeof *opening);
  return addon_number(env, error);
}

/*
 * namespaceWriteInside(namespaceFd, userFd, strings, result): writes sysctls of a network namespace; `strings` has path and value
 * of each, `result` becomes the errno of each, 0 for what was taken. 0, or -errno where none was tried.
 */
static napi_value namespace_write_inside(napi_env env, napi_callback_info info) {
  napi_value values[4];
  int32_t numbers[2];
  size_t length = 0, count = 0;
  struct namespace_pair pairs[NAMESPACE_SYSCTLS_MAX];
  if (!addon_arguments(env, info, 4, values, NULL) || !addon_integers(env, values, 2, numbers)) return NULL;
  const char *at = (const char *)namespace_bytes(env, values[2], &length);
  int32_t *result = at == NULL ? NULL : addon_words(env, values[3], 0, &count);
  if (result == NULL) return NULL;
  if (count > NAMESPACE_SYSCTLS_MAX || !namespace_pairs(pairs, (int32_t)count, &at, at + length))
    return addon_range_error(env, "each sysctl has a path and a value");
  struct opening *opening = new_opening(numbers[0], numbers[1]);
  if (opening == NULL) return addon_result(env, -1);
  opening->sysctls = pairs;
  opening->sysctls_count = (int32_t)count;
  int error = run_child(opening, write_inside);
  memcpy(result, opening->refused, count * sizeof *result);
  munmap(opening, sizeof *opening);
  return addon_number(env, error);
}

void namespace_open_register(napi_env env, napi_value exports) {
  addon_function(env, exports, "namespaceType", namespace_type);
  addon_function(env, exports, "socketNamespace", socket_namespace);
  addon_function(env, exports, "namespaceOpenInside", namespace_open_inside);
  addon_function(env, exports, "namespaceWriteInside", namespace_write_inside);
  addon_function(env, exports, "processOpen", process_open);
}
