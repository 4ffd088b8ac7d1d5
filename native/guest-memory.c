/*
 * Memory that another process shares with us by a descriptor (mmap(2)): that of a virtual machine, in which its
 * virtqueues and frames lie. JavaScript sees it as array buffers, "windows", and copies go from window to window or
 * between a window and an arena, a batch at a time.
 *
 * Whose memory it is may do with it what it likes, at any moment:
 *
 * - It truncates the file behind it. The next access to a page that is gone, from machine code that V8 compiled or from
 *   a copy here, is SIGBUS. The handler puts anonymous pages of zeros in the place of the whole mapping and returns, so
 *   that the access is done again and succeeds; `guestLost` tells of it afterwards. A fault anywhere else is what it
 *   was before: the handler that was there, or the end of the process.
 * - It asks for the mapping to be taken away while JavaScript still holds windows. `guestUnmap` puts anonymous pages
 *   there too: the other's memory is given up at once, the addresses when the last window has been collected.
 *
 * The table of mappings belongs to the process, as signal dispositions do. A slot is written before it is announced
 * (`start`), and a mapping is only touched by who holds a window of it: the handler needs no lock. The slot is free
 * again with `guestUnmap`, behind which there are no faults: who maps and unmaps without end must not have to wait for
 * windows to be collected.
 */
#include "addon.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define MAPPINGS_MAX 1024
#define HUGETLBFS_MAGIC 0x958458f6
#define FUSE_MAGIC 0x65735546

struct mapping {
  uint8_t *start;
  size_t length;         /* whole pages */
  size_t skipped;        /* bytes in front of what was asked for, to the start of its page */
  size_t asked;
  atomic_int references; /* windows, and one until guestUnmap */
};

static struct {
  _Atomic(uintptr_t) start; /* 0: the slot is free */
  size_t length;
  atomic_bool lost; /* SIGBUS has replaced it */
  struct mapping *mapping;
} slots[MAPPINGS_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction before;
static bool installed;

/* Zeros in the place of all pages. Only system calls that a signal handler may make. */
static bool replace(void *start, size_t length) {
  return mmap(start, length, PROT_READ | PROT_WRITE,
              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != MAP_FAILED;
}

static void on_bus_error(int signal, siginfo_t *info, void *context) {
  const int error = errno;
  const uintptr_t at = (uintptr_t)info->si_addr;
  for (size_t i = 0; i < MAPPINGS_MAX; i++) {
    const uintptr_t start = atomic_load_explicit(&slots[i].start, memory_order_acquire);
    if (start == 0 || at < start || at - start >= slots[i].length) continue;
    if (!replace((void *)start, slots[i].length)) break;
    atomic_store(&slots[i].lost, true);
    errno = error;
    return;
  }
  errno = error;
  if ((before.sa_flags & SA_SIGINFO) != 0) before.sa_sigaction(signal, info, context);
  else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) before.sa_handler(signal);
  else {
    /* The access is done again, and ends the process as it would have without us; a signal that was sent must be sent again. */
    sigaction(SIGBUS, &before, NULL);
    if (info->si_code <= 0) raise(SIGBUS);
  }
}

static int install(void) {
  if (installed) return 0;
  struct sigaction action = {.sa_flags = SA_SIGINFO | SA_ONSTACK};
  action.sa_sigaction = on_bus_error;
  sigemptyset(&action.sa_mask);
  if (sigaction(SIGBUS, &action, &before) < 0) return -errno;
  installed = true;
  return 0;
}

static void release(struct mapping *mapping) {
  if (atomic_fetch_sub(&mapping->references, 1) != 1) return;
  munmap(mapping->start, mapping->length);
  free(mapping);
}

/* The slot of a mapping, or -errno. */
static int map(int fd, int64_t offset, int64_t length) {
  struct stat status;
  struct statfs system;
  if (offset < 0 || length <= 0) return -EINVAL;
  if (fstat(fd, &status) < 0 || fstatfs(fd, &system) < 0) return -errno;
  /* A device or a pipe is nobody's memory, and a file whose pages another process makes up would hold us at its will. */
  if (!S_ISREG(status.st_mode) || (unsigned long)system.f_type == FUSE_MAGIC) return -EACCES;
  if (offset > status.st_size || length > status.st_size - offset) return -ERANGE;
  const int64_t page =
      (unsigned long)system.f_type == HUGETLBFS_MAGIC ? (int64_t)system.f_bsize : (int64_t)sysconf(_SC_PAGESIZE);
  const int64_t skipped = offset % page;
  const size_t bytes = (size_t)((skipped + length + page - 1) / page * page);
  const int handled = install();
  if (handled < 0) return handled;
  size_t slot = 0;
  while (slot < MAPPINGS_MAX && atomic_load(&slots[slot].start) != 0) slot++;
  if (slot == MAPPINGS_MAX) return -ENOSPC;
  struct mapping *mapping = malloc(sizeof *mapping);
  if (mapping == NULL) return -ENOMEM;
  void *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, offset - skipped);
  if (start == MAP_FAILED) {
    const int error = errno;
    free(mapping);
    return -error;
  }
  /* It has no place in a core dump, nor in a child. */
  madvise(start, bytes, MADV_DONTDUMP);
  madvise(start, bytes, MADV_DONTFORK);
  *mapping = (struct mapping){.start = start, .length = bytes, .skipped = (size_t)skipped, .asked = (size_t)length};
  atomic_store(&mapping->references, 1);
  slots[slot].mapping = mapping;
  slots[slot].length = bytes;
  atomic_store(&slots[slot].lost, false);
  atomic_store_explicit(&slots[slot].start, (uintptr_t)start, memory_order_release);
  return (int)slot;
}

/* A mapping that was not unmapped; NULL with a RangeError. */
static struct mapping *mapping_of(napi_env env, int32_t slot) {
  if (slot >= 0 && slot < MAPPINGS_MAX && atomic_load(&slots[slot].start) != 0) return slots[slot].mapping;
  addon_range_error(env, "no guest memory is mapped with this number");
  return NULL;
}

/* guestMap(fd, offset, length): its number, or -errno: -ERANGE when the file is too short. The caller may close the descriptor. */
static napi_value guest_map(napi_env env, napi_callback_info info) {
  napi_value values[3];
  int32_t fd;
  int64_t offset, length;
  if (!addon_arguments(env, info, 3, values, NULL) || !addon_integers(env, values, 1, &fd)) return NULL;
  if (napi_get_value_int64(env, values[1], &offset) != napi_ok || napi_get_value_int64(env, values[2], &length) != napi_ok) {
    napi_throw_type_error(env, NULL, "a number was expected");
    return NULL;
  }
  pthread_mutex_lock(&lock);
  const int slot = map(fd, offset, length);
  pthread_mutex_unlock(&lock);
  return addon_number(env, slot);
}

static void window_collected(napi_env env, void *data, void *hint) {
  (void)env;
  (void)data;
  release(hint);
}

/* guestWindow(mapping, at, length): an ArrayBuffer. */
static napi_value guest_window(napi_env env, napi_callback_info info) {
  napi_value values[3], buffer;
  int32_t slot;
  int64_t at, length;
  if (!addon_arguments(env, info, 3, values, NULL) || !addon_integers(env, values, 1, &slot)) return NULL;
  if (napi_get_value_int64(env, values[1], &at) != napi_ok || napi_get_value_int64(env, values[2], &length) != napi_ok) {
    napi_throw_type_error(env, NULL, "a number was expected");
    return NULL;
  }
  struct mapping *mapping = mapping_of(env, slot);
  if (mapping == NULL) return NULL;
  if (at < 0 || length <= 0 || (uint64_t)at > mapping->asked || (uint64_t)length > mapping->asked - (uint64_t)at)
    return addon_range_error(env, "the window is not inside the mapping");
  uint8_t *start = mapping->start + mapping->skipped + at;
  atomic_fetch_add(&mapping->references, 1);
  if (napi_create_external_arraybuffer(env, start, (size_t)length, window_collected, mapping, &buffer) == napi_ok)
    return buffer;
  release(mapping);
  napi_throw_error(env, NULL, "an array buffer can not be made of the mapping");
  return NULL;
}

/* guestUnmap(mapping): 0, or -errno. Windows read zeros from now on. */
static napi_value guest_unmap(napi_env env, napi_callback_info info) {
  int32_t slot;
  if (!addon_integer_arguments(env, info, 1, &slot, NULL)) return NULL;
  struct mapping *mapping = mapping_of(env, slot);
  if (mapping == NULL) return NULL;
  if (!replace(mapping->start, mapping->length)) return addon_result(env, -1);
  atomic_store_explicit(&slots[slot].start, 0, memory_order_release);
  release(mapping);
  return addon_number(env, 0);
}

/* guestLost(mapping): 1 when pages of it were found to be gone. */
static napi_value guest_lost(napi_env env, napi_callback_info info) {
  int32_t slot;
  if (!addon_integer_arguments(env, info, 1, &slot, NULL)) return NULL;
  return mapping_of(env, slot) == NULL ? NULL : addon_number(env, atomic_load(&slots[slot].lost) ? 1 : 0);
}

#define PIECE_WORDS 5

/*
 * copyPieces(vector, at, count): copies `count` pieces, each 5 words from word `at` of the vector on: the memory to copy
 * from, where; the memory to copy to, where; bytes. They are checked before the first is copied.
 */
static napi_value copy_pieces(napi_env env, napi_callback_info info) {
  int32_t a[3];
  struct addon *addon;
  if (!addon_integer_arguments(env, info, 3, a, &addon)) return NULL;
  const int32_t *words = memory_words(env, addon, a[0], a[1], (int64_t)a[2] * PIECE_WORDS);
  if (words == NULL) return NULL;
  for (int32_t i = 0; i < a[2]; i++) {
    const int32_t *piece = words + (size_t)i * PIECE_WORDS;
    if (memory_bytes(env, addon, piece[0], piece[1], piece[4]) == NULL) return NULL;
    if (memory_bytes(env, addon, piece[2], piece[3], piece[4]) == NULL) return NULL;
  }
  for (int32_t i = 0; i < a[2]; i++) {
    const int32_t *piece = words + (size_t)i * PIECE_WORDS;
    /* Two windows may lie over each other. */
    memmove(addon->memories[piece[2]].bytes + piece[3], addon->memories[piece[0]].bytes + piece[1], (size_t)piece[4]);
  }
  return addon_number(env, a[2]);
}

void guest_memory_register(napi_env env, napi_value exports) {
  addon_function(env, exports, "guestMap", guest_map);
  addon_function(env, exports, "guestWindow", guest_window);
  addon_function(env, exports, "guestUnmap", guest_unmap);
  addon_function(env, exports, "guestLost", guest_lost);
  addon_function(env, exports, "copyPieces", copy_pieces);
}
