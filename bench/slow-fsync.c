/* A disk whose syncs are slow, for LD_PRELOAD: each sync takes SLOW_FSYNC_MS at least, as on the usual cloud disk.
 * A write to a descriptor that was opened with O_SYNC or O_DSYNC is a sync too (LMDB writes its meta page so). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define DESCRIPTORS 65536

static unsigned char synced_write[DESCRIPTORS];

static long long now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static long long least_ns(void) {
  static long long ns = -1;
  if (ns < 0) {
    const char *ms = getenv("SLOW_FSYNC_MS");
    ns = ms ? (long long)(atof(ms) * 1e6) : 0;
  }
  return ns;
}

static void wait_since(long long start) {
  long long left = start + least_ns() - now_ns();
  if (left <= 0) return;
  struct timespec t = {left / 1000000000LL, left % 1000000000LL};
  while (nanosleep(&t, &t) != 0) {
  }
}

/* `REAL(fsync)(fd)` calls the next definition, libc's. */
#define REAL(name) ((__typeof__(&name))next(#name))

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }

#define SLOW(type, call)        \
  long long start = now_ns();   \
  type result = call;           \
  wait_since(start);            \
  return result

int fsync(int fd) { SLOW(int, REAL(fsync)(fd)); }
int fdatasync(int fd) { SLOW(int, REAL(fdatasync)(fd)); }
int syncfs(int fd) { SLOW(int, REAL(syncfs)(fd)); }

int msync(void *at, size_t length, int flags) {
  if (!(flags & MS_SYNC)) return REAL(msync)(at, length, flags);
  SLOW(int, REAL(msync)(at, length, flags));
}

static int opened(int fd, int flags) {
  if (fd >= 0 && fd < DESCRIPTORS) synced_write[fd] = (flags & (O_SYNC | O_DSYNC)) != 0;
  return fd;
}

static int is_synced(int fd) { return fd >= 0 && fd < DESCRIPTORS && synced_write[fd]; }

#define MODE(flags, mode)                     \
  mode_t mode = 0;                            \
  if ((flags) & (O_CREAT | __O_TMPFILE)) {    \
    va_list rest;                             \
    va_start(rest, flags);                    \
    mode = va_arg(rest, mode_t);              \
    va_end(rest);                             \
  }

int open(const char *path, int flags, ...) {
  MODE(flags, mode)
  return opened(REAL(open)(path, flags, mode), flags);
}

int open64(const char *path, int flags, ...) {
  MODE(flags, mode)
  return opened(REAL(open64)(path, flags, mode), flags);
}

int openat(int folder, const char *path, int flags, ...) {
  MODE(flags, mode)
  return opened(REAL(openat)(folder, path, flags, mode), flags);
}

int openat64(int folder, const char *path, int flags, ...) {
  MODE(flags, mode)
  return opened(REAL(openat64)(folder, path, flags, mode), flags);
}

#define WRITE(call)                 \
  if (!is_synced(fd)) return call;  \
  SLOW(ssize_t, call)

ssize_t write(int fd, const void *from, size_t length) { WRITE(REAL(write)(fd, from, length)); }
ssize_t pwrite(int fd, const void *from, size_t length, off_t at) { WRITE(REAL(pwrite)(fd, from, length, at)); }
ssize_t pwrite64(int fd, const void *from, size_t length, off64_t at) { WRITE(REAL(pwrite64)(fd, from, length, at)); }
ssize_t pwritev(int fd, const struct iovec *from, int count, off_t at) { WRITE(REAL(pwritev)(fd, from, count, at)); }
ssize_t pwritev64(int fd, const struct iovec *from, int count, off64_t at) {
  WRITE(REAL(pwritev64)(fd, from, count, at));
}
