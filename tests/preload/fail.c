/* Makes chosen file operations fail, for tests.
 *
 * Loaded by LD_PRELOAD. CALLOUT_FAIL_PREFIX says which files are meant: those whose path begins with it.
 * CALLOUT_FAIL_CONTROL names a file of eight 64-bit numbers that the test writes while the program runs:
 *
 *   0  which operations may fail, a sum of: 1 open, 2 write, 4 sync, 8 truncate, 16 unlink, 32 map, 64 allocate
 *   1  the errno they fail with
 *   2  the first call that fails, counted from 1; 0: none
 *   3  how many calls fail from there on; 0: all
 *   4  calls seen, counted here
 *   5  calls failed, counted here
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN = 1, WRITE = 2, SYNC = 4, TRUNCATE = 8, UNLINK = 16, MAP = 32, ALLOCATE = 64 };
enum { KINDS, ERRNO, FIRST, COUNT, SEEN, FAILED, NUMBERS = 8 };
enum { FILES = 65536 };

static volatile int64_t *control;
static const char *prefix;
static size_t prefix_bytes;
static volatile char meant[FILES];

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

__attribute__((constructor)) static void begin(void) {
    const char *file = getenv("CALLOUT_FAIL_CONTROL");
    prefix = getenv("CALLOUT_FAIL_PREFIX");
    if (!file || !prefix) return;
    prefix_bytes = strlen(prefix);
    int fd = REAL(open)(file, O_RDWR | O_CLOEXEC);
    if (fd < 0) abort();
    void *map = REAL(mmap)(NULL, NUMBERS * 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) abort();
    REAL(close)(fd);
    control = map;
}

/* Whether this call fails; sets errno if so. */
static int fails(int kind) {
    if (!control || !(control[KINDS] & kind)) return 0;
    int64_t number = __atomic_add_fetch(&control[SEEN], 1, __ATOMIC_SEQ_CST);
    int64_t first = control[FIRST], count = control[COUNT];
    if (!first || number < first || (count && number >= first + count)) return 0;
    __atomic_add_fetch(&control[FAILED], 1, __ATOMIC_SEQ_CST);
    errno = (int)control[ERRNO];
    return 1;
}

static int is_meant(const char *path) {
    return control && path && strncmp(path, prefix, prefix_bytes) == 0;
}

static int is_ours(int fd) { return fd >= 0 && fd < FILES && meant[fd]; }

static int opened(int fd, const char *path) {
    if (fd >= 0 && fd < FILES) meant[fd] = (char)is_meant(path);
    return fd;
}

static mode_t mode_of(int flags, va_list rest) {
    return flags & (O_CREAT | __O_TMPFILE) ? (mode_t)va_arg(rest, int) : 0;
}

#define OPENS(name)                                                  \
    int name(const char *path, int flags, ...) {                     \
        va_list rest;                                                \
        va_start(rest, flags);                                       \
        mode_t mode = mode_of(flags, rest);                          \
        va_end(rest);                                                \
        if (is_meant(path) && fails(OPEN)) return -1;                \
        return opened(REAL(name)(path, flags, mode), path);          \
    }
OPENS(open)
OPENS(open64)

#define OPENS_AT(name)                                               \
    int name(int folder, const char *path, int flags, ...) {         \
        va_list rest;                                                \
        va_start(rest, flags);                                       \
        mode_t mode = mode_of(flags, rest);                          \
        va_end(rest);                                                \
        if (is_meant(path) && fails(OPEN)) return -1;                \
        return opened(REAL(name)(folder, path, flags, mode), path);  \
    }
OPENS_AT(openat)
OPENS_AT(openat64)

int close(int fd) {
    if (fd >= 0 && fd < FILES) meant[fd] = 0;
    return REAL(close)(fd);
}

ssize_t write(int fd, const void *bytes, size_t size) {
    return is_ours(fd) && fails(WRITE) ? -1 : REAL(write)(fd, bytes, size);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    return is_ours(fd) && fails(WRITE) ? -1 : REAL(writev)(fd, parts, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at) {
    return is_ours(fd) && fails(WRITE) ? -1 : REAL(pwrite)(fd, bytes, size, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) {
    return is_ours(fd) && fails(WRITE) ? -1 : REAL(pwrite64)(fd, bytes, size, at);
}

int fsync(int fd) { return is_ours(fd) && fails(SYNC) ? -1 : REAL(fsync)(fd); }

int fdatasync(int fd) { return is_ours(fd) && fails(SYNC) ? -1 : REAL(fdatasync)(fd); }

int ftruncate(int fd, off_t size) {
    return is_ours(fd) && fails(TRUNCATE) ? -1 : REAL(ftruncate)(fd, size);
}

int ftruncate64(int fd, off64_t size) {
    return is_ours(fd) && fails(TRUNCATE) ? -1 : REAL(ftruncate64)(fd, size);
}

int fallocate(int fd, int mode, off_t at, off_t size) {
    return is_ours(fd) && fails(ALLOCATE) ? -1 : REAL(fallocate)(fd, mode, at, size);
}

int posix_fallocate(int fd, off_t at, off_t size) {
    return is_ours(fd) && fails(ALLOCATE) ? errno : REAL(posix_fallocate)(fd, at, size);
}

int unlink(const char *path) { return is_meant(path) && fails(UNLINK) ? -1 : REAL(unlink)(path); }

void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t from) {
    return is_ours(fd) && fails(MAP) ? MAP_FAILED : REAL(mmap)(at, size, protection, flags, fd, from);
}

void *mmap64(void *at, size_t size, int protection, int flags, int fd, off64_t from) {
    return is_ours(fd) && fails(MAP) ? MAP_FAILED : REAL(mmap64)(at, size, protection, flags, fd, from);
}
