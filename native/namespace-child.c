/*
 * The first process of the new namespaces: PID 1 of its PID namespace, "init".
 *
 * It is a clone of a process with many threads, and never execs: it has a copy of our memory in which locks of other
 * threads stay held for ever. So it calls only what is async-signal-safe, on data that was made before the clone,
 * and allocates with mmap alone.
 *
 * What it does, in this order: it ties its life to ours; maps its user; makes the mount namespace its own, with a
 * new /proc; brings lo up; makes the tap, and a netlink socket; replaces files; writes sysctls; passes the descriptors
 * to us; waits. On RUN it starts the command, then reaps everything, forwards signals, reports how the command ended,
 * and exits. With its exit the kernel kills what is left in the namespace.
 *
 * It ends when we do, in two ways that do not depend on each other: the kernel's parent-death signal, and the hang-up
 * of the control socket.
 *
 * It stays in our process group and session, and so does the command: the terminal's signals and its foreground
 * group work as for any child.
 */
#include "namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/sched.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Where init keeps its end of the control socket: the first descriptor behind the standard ones. */
#define CONTROL 3

/* Descriptors that are closed one by one where the kernel has no close_range (before 5.9). */
#define CLOSED_MAX 65536

struct init {
  const struct namespace_plan *plan;
  int descriptors[NAMESPACE_DESCRIPTORS_MAX]; /* to be passed to us */
  int descriptors_count;
  int files_replaced; /* bit mask */
  bool vnet_header;
  pid_t command; /* 0: not started */
};

static void report(enum namespace_kind kind, int value, int index, int error) {
  struct namespace_message message = {.kind = kind, .value = value, .index = index, .error = error};
  if (namespace_send(CONTROL, message, NULL, 0) < 0) _exit(1);
}

_Noreturn static void fail(enum namespace_step step, int error) {
  report(NAMESPACE_FAILED, step, 0, error);
  _exit(1);
}

static void warn(enum namespace_step step, int index, int error) { report(NAMESPACE_WARNING, step, index, error); }

/* Writes a whole text into a file that exists: 0 or errno. */
static int write_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  size_t length = strlen(text);
  ssize_t written = write(fd, text, length);
  int error = written < 0 ? errno : (size_t)written == length ? 0 : EIO;
  close(fd);
  return error;
}

static void close_from(unsigned first) {
#ifdef SYS_close_range
  if (syscall(SYS_close_range, first, ~0U, 0) == 0) return;
#endif
  struct rlimit limit = {.rlim_cur = CLOSED_MAX};
  getrlimit(RLIMIT_NOFILE, &limit);
  unsigned end = limit.rlim_cur < CLOSED_MAX ? (unsigned)limit.rlim_cur : CLOSED_MAX;
  for (unsigned fd = first; fd < end; fd++) close((int)fd);
}

/* Makes us a process of our own: no handler of the parent's, none of its descriptors, and no life beyond its. */
static void begin(struct init *init) {
  struct sigaction standard = {.sa_handler = SIG_DFL};
  for (int number = 1; number < _NSIG; number++) sigaction(number, &standard, NULL);
  if (init->plan->control != CONTROL && dup3(init->plan->control, CONTROL, O_CLOEXEC) < 0) _exit(1);
  close_from(CONTROL + 1);
  prctl(PR_SET_NAME, "tapster-init");
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) fail(NAMESPACE_STEP_PROCESS, errno);
}

/*
 * user_namespaces(7): a process without privilege over the outer namespace may map its own user and, once
 * setgroups(2) is denied, its group.
 */
static void map_user(const struct namespace_plan *plan) {
  if (plan->uid_map[0] == 0) return;
  /* After a change of user our own files in /proc are root's, unless this is set. */
  prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  int error = write_file("/proc/self/setgroups", "deny");
  if (error != 0 && error != ENOENT) fail(NAMESPACE_STEP_SETGROUPS, error);
  if ((error = write_file("/proc/self/uid_map", plan->uid_map)) != 0) fail(NAMESPACE_STEP_UID_MAP, error);
  if ((error = write_file("/proc/self/gid_map", plan->gid_map)) != 0) fail(NAMESPACE_STEP_GID_MAP, error);
}

/* The mounts become slaves: what the host mounts later appears here too, and nothing that is mounted here leaves. */
static void take_mounts_over(void) {
  if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0) fail(NAMESPACE_STEP_MOUNTS, errno);
  if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0) warn(NAMESPACE_STEP_PROC, 0, errno);
}

/*
 * Makes `file` on the tmpfs and mounts it over `pair->path`, which must exist; links on the way are followed. 0 or
 * errno.
 */
static int replace_file(struct init *init, const char *file, const struct namespace_pair *pair, int index) {
  int fd = open(file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) return errno;
  size_t length = strlen(pair->value);
  ssize_t written = write(fd, pair->value, length);
  int error = written < 0 ? errno : (size_t)written == length ? 0 : ENOSPC;
  if (error == 0 && fchmod(fd, 0644) < 0) error = errno;
  if (error == 0 && mount(file, pair->path, NULL, MS_BIND, NULL) < 0) error = errno;
  if (error != 0) {
    close(fd);
    return error;
  }
  init->descriptors[init->descriptors_count++] = fd;
  init->files_replaced |= 1 << index;
  return 0;
}

/*
 * The replaced files live on a small tmpfs, which covers a directory only while they are bound to their places.
 * Their descriptors go to us, who write them anew when the host's change.
 */
static void replace_files(struct init *init) {
  static const char *const places[] = {"/tmp", "/mnt", "/run"};
  const struct namespace_plan *plan = init->plan;
  if (plan->files_count == 0) return;
  const char *place = NULL;
  int error = 0;
  for (size_t i = 0; i < sizeof places / sizeof *places && place == NULL; i++) {
    unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    if (mount("tapster", places[i], "tmpfs", flags, "size=1m,mode=0755") == 0) place = places[i];
    else error = errno;
  }
  if (place == NULL) {
    warn(NAMESPACE_STEP_FILES, 0, error);
    return;
  }
  char file[] = "/tmp/0"; /* all places are of this length */
  memcpy(file, place, strlen(place));
  for (int i = 0; i < plan->files_count; i++) {
    file[sizeof file - 2] = (char)('0' + i);
    if ((error = replace_file(init, file, &plan->files[i], i)) != 0) warn(NAMESPACE_STEP_FILE, i, error);
  }
  umount2(place, MNT_DETACH);
}

static void raise_loopback(void) {
  struct ifreq request = {.ifr_name = "lo"};
  request.ifr_flags = IFF_UP;
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0) fail(NAMESPACE_STEP_LOOPBACK, errno);
  close(fd);
}

/*
 * tun.txt: the interface lives as long as a descriptor of it is open, in the network namespace of the process that
 * named it.
 */
static void make_tap(struct init *init) {
  const struct namespace_plan *plan = init->plan;
  if (plan->tap_name[0] == 0) return;
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) fail(NAMESPACE_STEP_TUN_OPEN, errno);
  struct ifreq request;
  memset(&request, 0, sizeof request);
  memcpy(request.ifr_name, plan->tap_name, strnlen(plan->tap_name, IFNAMSIZ - 1));
  request.ifr_flags = (short)plan->tap_flags;
  init->vnet_header = (plan->tap_flags & IFF_VNET_HDR) != 0;
  if (ioctl(fd, TUNSETIFF, &request) < 0) {
    /* A kernel without virtio-net headers on taps refuses the flag: go on without offloads. */
    if (errno != EINVAL || !init->vnet_header) fail(NAMESPACE_STEP_TUN_INTERFACE, errno);
    init->vnet_header = false;
    request.ifr_flags = (short)(plan->tap_flags & ~IFF_VNET_HDR);
    if (ioctl(fd, TUNSETIFF, &request) < 0) fail(NAMESPACE_STEP_TUN_INTERFACE, errno);
  }
  if (init->vnet_header) {
    int bytes = plan->vnet_header_bytes, yes = 1;
    if (ioctl(fd, TUNSETVNETHDRSZ, &bytes) < 0 || ioctl(fd, TUNSETVNETLE, &yes) < 0)
      fail(NAMESPACE_STEP_TUN_HEADER, errno);
  }
  init->descriptors[init->descriptors_count++] = fd;
}

static void open_netlink(struct init *init) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) fail(NAMESPACE_STEP_NETLINK, errno);
  init->descriptors[init->descriptors_count++] = fd;
}

static void write_sysctls(const struct namespace_plan *plan) {
  for (int i = 0; i < plan->sysctls_count; i++) {
    int error = write_file(plan->sysctls[i].path, plan->sysctls[i].value);
    if (error != 0) warn(NAMESPACE_STEP_SYSCTL, i, error);
  }
}

static void pass_descriptors(struct init *init) {
  struct namespace_message message = {
      .kind = NAMESPACE_READY, .value = init->vnet_header, .index = init->files_replaced, .error = 0};
  if (namespace_send(CONTROL, message, init->descriptors, init->descriptors_count) < 0) _exit(1);
  for (int i = 0; i < init->descriptors_count; i++) close(init->descriptors[i]);
}

/* --- the command --- */

struct command {
  char *directory; /* empty: where we are */
  char **candidates;
  char **arguments;
  char **environment;
};

/* Takes `count` strings of the block as a NULL-terminated vector; false when the block ends before them. */
static bool take_strings(char **vector, int32_t count, char **at, const char *end) {
  for (int32_t i = 0; i < count; i++) {
    if (*at >= end) return false;
    vector[i] = *at;
    *at += strlen(*at) + 1;
  }
  vector[count] = NULL;
  return true;
}

/*
 * Reads the command from its file, in this layout:
 *
 * | words 0..2 | how many candidates for the program's path, arguments, and variables of the environment |
 * | strings    | the directory, the candidates, the arguments, the variables; each ends in a zero byte   |
 */
static int read_command(int fd, struct command *command) {
  struct stat status;
  int32_t counts[3];
  if (fstat(fd, &status) < 0) return errno;
  if (status.st_size <= (off_t)sizeof counts) return EINVAL;
  char *block = mmap(NULL, (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  if (block == MAP_FAILED) return errno;
  memcpy(counts, block, sizeof counts);
  const char *end = block + status.st_size;
  char *at = block + sizeof counts;
  if (end[-1] != 0 || counts[0] < 0 || counts[1] < 1 || counts[2] < 0) return EINVAL;
  /* Each vector ends in NULL, and one slot is free in front of the arguments, for the shell (see `execute`). */
  size_t slots = (size_t)counts[0] + (size_t)counts[1] + (size_t)counts[2] + 4;
  char **vector = mmap(NULL, slots * sizeof *vector, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (vector == MAP_FAILED) return errno;
  command->directory = at;
  at += strlen(at) + 1;
  command->candidates = vector;
  command->environment = vector + counts[0] + 1;
  command->arguments = command->environment + counts[2] + 1 + 1;
  if (!take_strings(command->candidates, counts[0], &at, end)) return EINVAL;
  if (!take_strings(command->arguments, counts[1], &at, end)) return EINVAL;
  return take_strings(command->environment, counts[2], &at, end) ? 0 : EINVAL;
}

/* Errors after which execvp(3) looks in the next directory, besides EACCES. */
static bool is_elsewhere(int error) {
  return error == ENOENT || error == ENOTDIR || error == ESTALE || error == ENODEV || error == ETIMEDOUT;
}

/*
 * Tries the candidates in order, as shells do: what is not there is passed over, and a file that may not be executed
 * counts when there is no other. Returns errno.
 */
static int execute(const struct command *command) {
  int error = ENOENT;
  for (char **path = command->candidates; *path != NULL; path++) {
    execve(*path, command->arguments, command->environment);
    if (errno == ENOEXEC) { /* a script without an interpreter line */
      char **shell = command->arguments - 1;
      static char name[] = "/bin/sh";
      shell[0] = name;
      shell[1] = *path;
      execve(name, shell, command->environment);
      return errno;
    }
    if (errno != EACCES && !is_elsewhere(errno)) return errno;
    /* A directory of the search path that we may not enter says nothing about the program. */
    bool searched = command->candidates[1] != NULL;
    if (errno == EACCES && (!searched || access(*path, F_OK) == 0)) error = EACCES;
  }
  return error;
}

_Noreturn static void become_command(const struct command *command) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  /*
   * libuv marks the standard descriptors close-on-exec when Node starts, and pipes and sockets among them non-blocking
   * when process.stdin and its like are first used: the command would lose what a full pipe does not take.
   */
  for (int fd = 0; fd < 3; fd++) {
    fcntl(fd, F_SETFD, 0);
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && (flags & O_NONBLOCK) != 0) fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
  }
  enum namespace_step step = NAMESPACE_STEP_DIRECTORY;
  int error = command->directory[0] != 0 && chdir(command->directory) < 0 ? errno : 0;
  if (error == 0) {
    step = NAMESPACE_STEP_EXEC;
    error = execute(command);
  }
  report(NAMESPACE_EXEC_FAILED, step, 0, error);
  _exit(error == ENOENT ? 127 : 126);
}

static void start_command(struct init *init, int fd) {
  struct command command = {0};
  int error = fd < 0 || init->command != 0 ? EINVAL : read_command(fd, &command);
  if (fd >= 0) close(fd);
  /* Not fork(3): it would run handlers and take locks of a program that we only have a copy of. */
  if (error == 0 && (init->command = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL)) < 0) error = errno;
  if (error != 0) {
    report(NAMESPACE_EXEC_FAILED, NAMESPACE_STEP_EXEC, 0, error);
    _exit(1);
  }
  if (init->command == 0) become_command(&command);
}

/* --- the wait --- */

/* Reaps every child that ended or stopped; ends with the command. */
static void reap(const struct init *init) {
  int status;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
    if (pid != init->command) continue;
    /*
     * In our own process group the terminal's stop has stopped us all. A shell that suspended itself in a group of
     * its own is ours to tell.
     */
    if (WIFSTOPPED(status) && getpgid(pid) > 0) report(NAMESPACE_STOPPED, WSTOPSIG(status), 0, 0);
    if (WIFSTOPPED(status)) continue;
    if (WIFEXITED(status)) report(NAMESPACE_EXITED, WEXITSTATUS(status), 0, 0);
    else report(NAMESPACE_SIGNALLED, WTERMSIG(status), 0, 0);
    _exit(0);
  }
}

static void take_message(struct init *init) {
  struct namespace_message message;
  int descriptors[NAMESPACE_DESCRIPTORS_MAX];
  int count = 0;
  int received = namespace_receive(CONTROL, &message, descriptors, &count);
  if (received == -EAGAIN || received == -EINTR) return;
  if (received <= 0) _exit(0);
  if (message.kind == NAMESPACE_RUN) start_command(init, count == 1 ? descriptors[0] : -1);
  else if (message.kind == NAMESPACE_SIGNAL && init->command > 0) kill(init->command, message.value);
}

_Noreturn static void serve(struct init *init, int signals) {
  for (;;) {
    struct pollfd ready[] = {{.fd = CONTROL, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
    if (poll(ready, 2, -1) < 0) continue;
    if (ready[1].revents != 0) {
      struct signalfd_siginfo record;
      if (read(signals, &record, sizeof record) > 0) reap(init);
    }
    if (ready[0].revents != 0) take_message(init);
  }
}

void namespace_child(const struct namespace_plan *plan) {
  struct init init = {.plan = plan};
  begin(&init);
  map_user(plan);
  take_mounts_over();
  raise_loopback();
  make_tap(&init);
  open_netlink(&init);
  replace_files(&init);
  write_sysctls(plan);
  /*
   * Every signal was blocked before the clone, and stays so: init sees its children through this descriptor, and the
   * terminal's signals are for the command.
   */
  sigset_t children;
  sigemptyset(&children);
  sigaddset(&children, SIGCHLD);
  int signals = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signals < 0) fail(NAMESPACE_STEP_PROCESS, errno);
  pass_descriptors(&init);
  serve(&init, signals);
}
