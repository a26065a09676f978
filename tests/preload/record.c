/* Records what a program does to the files of one folder: what it writes, what it cuts, which names it
 * gives and takes, and what it asks the disk to keep. tests/it/power.rs builds from that record what a
 * loss of power may leave behind.
 *
 * Loaded with LD_PRELOAD. CALLOUT_RECORD_FOLDER is the folder, without symbolic links in its path;
 * CALLOUT_RECORD_LOG is the file that the record is added to, by all processes that share it.
 *
 * Each entry is made while a lock is held on the log, together with what it records, so the log has
 * everything in the order in which it happened. Only what succeeded is recorded. The shared memory of
 * SQLite (-shm) is not: it is mapped, never synced, and built anew after a start.
 *
 * What is missing here shows: the test compares the folder with what the record says is in it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* What an entry is about; tests/it/power/record.rs has the same numbers. */
enum {
    OPENED = 1,  /* a file with this name is there, `inode` */
    WRITTEN = 2, /* `length` bytes at `offset`, which follow */
    RESIZED = 3, /* to `length` */
    SYNCED = 4,  /* everything of the file is on the disk */
    FOLDER = 5,  /* all names in the folder are on the disk */
    RENAMED = 6, /* `name` is `other` now */
    LINKED = 7,  /* `name` is `other` as well */
    REMOVED = 8  /* `name` is gone */
};

struct head {
    uint32_t kind, name, other, zero; /* lengths of the two names that follow */
    uint64_t inode, offset, length;
};

#define FILES_MAX 65536
static uint64_t inode_of[FILES_MAX]; /* by descriptor; 0: none of ours */
static char is_folder[FILES_MAX];

static const char *folder;
static size_t folder_length;
static int record = -1;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* The function that would have been called without us. */
#define REAL(type, name, ...)                                              \
    static type (*real)(__VA_ARGS__);                                      \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static void start(void) {
    REAL(int, "open64", const char *, int, ...);
    const char *log = getenv("CALLOUT_RECORD_LOG");
    folder = getenv("CALLOUT_RECORD_FOLDER");
    if (!log || !folder) return;
    folder_length = strlen(folder);
    record = real(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (record < 0) {
        perror(log);
        abort();
    }
}

static int recording(void) {
    pthread_once(&once, start);
    return record >= 0;
}

/* Nobody else, in this process or another, does anything to a file meanwhile. */
static void enter(void) {
    pthread_mutex_lock(&turn);
    while (flock(record, LOCK_EX) != 0 && errno == EINTR) {}
}

static void leave(void) {
    int error = errno;
    flock(record, LOCK_UN);
    pthread_mutex_unlock(&turn);
    errno = error;
}

static void note(uint32_t kind, const char *name, const char *other, uint64_t inode,
                 uint64_t offset, uint64_t length, const void *data) {
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    int error = errno;
    struct head head = {kind, strlen(name), strlen(other), 0, inode, offset, length};
    struct iovec parts[] = {{&head, sizeof head},
                            {(void *)name, head.name},
                            {(void *)other, head.other},
                            {(void *)data, data ? length : 0}};
    size_t whole = sizeof head + head.name + head.other + (data ? length : 0);
    if (real(record, parts, 4) != (ssize_t)whole) {
        perror("the record of this program is not whole");
        abort();
    }
    errno = error;
}

/* The part of a full path below the folder: "" for the folder itself, NULL outside and for -shm. */
static const char *below(const char *path) {
    if (strncmp(path, folder, folder_length) != 0) return NULL;
    path += folder_length;
    if (*path != '/' && *path != 0) return NULL;
    if (*path == '/') path++;
    size_t length = strlen(path);
    if (length >= 4 && strcmp(path + length - 4, "-shm") == 0) return NULL;
    return path;
}

/* The same for any path, whose last step need not exist and is not followed. */
static const char *named(int at, const char *path, char *full) {
    const char *last = strrchr(path, '/');
    const char *step = last ? last + 1 : path;
    int before = step - path;
    char parent[PATH_MAX];
    if (at == AT_FDCWD || *path == '/') snprintf(parent, sizeof parent, "%.*s.", before, path);
    else snprintf(parent, sizeof parent, "/proc/self/fd/%d/%.*s.", at, before, path);
    if (!realpath(parent, full)) return NULL;
    size_t length = strlen(full);
    snprintf(full + length, PATH_MAX - length, "/%s", step);
    return below(full);
}

static uint64_t inode(int fd) {
    return fd >= 0 && fd < FILES_MAX && record >= 0 ? inode_of[fd] : 0;
}

/* ---- Opening and closing ---- */

static void opened(int fd, int flags) {
    char link[64], path[PATH_MAX];
    struct stat found;
    if (fd < 0 || fd >= FILES_MAX) return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0 || fstat(fd, &found) != 0) return;
    path[length] = 0;
    const char *name = below(path);
    if (!name) return;
    inode_of[fd] = found.st_ino;
    is_folder[fd] = S_ISDIR(found.st_mode);
    if (is_folder[fd]) return;
    note(OPENED, name, "", found.st_ino, 0, 0, NULL);
    if (flags & O_TRUNC) note(RESIZED, "", "", found.st_ino, 0, 0, NULL);
}

#define OPEN(name)                                                         \
    int name(const char *path, int flags, ...) {                           \
        REAL(int, #name, const char *, int, ...);                          \
        va_list more;                                                      \
        va_start(more, flags);                                             \
        int mode = va_arg(more, int);                                      \
        va_end(more);                                                      \
        if (!recording()) return real(path, flags, mode);                  \
        enter();                                                           \
        int fd = real(path, flags, mode);                                  \
        opened(fd, flags);                                                 \
        leave();                                                           \
        return fd;                                                         \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                       \
    int name(int at, const char *path, int flags, ...) {                   \
        REAL(int, #name, int, const char *, int, ...);                     \
        va_list more;                                                      \
        va_start(more, flags);                                             \
        int mode = va_arg(more, int);                                      \
        va_end(more);                                                      \
        if (!recording()) return real(at, path, flags, mode);              \
        enter();                                                           \
        int fd = real(at, path, flags, mode);                              \
        opened(fd, flags);                                                 \
        leave();                                                           \
        return fd;                                                         \
    }
OPENAT(openat)
OPENAT(openat64)

int close(int fd) {
    REAL(int, "close", int);
    if (fd >= 0 && fd < FILES_MAX) inode_of[fd] = 0;
    return real(fd);
}

/* ---- Content ---- */

#define PWRITE(name, offset_type)                                          \
    ssize_t name(int fd, const void *data, size_t length, offset_type at) { \
        REAL(ssize_t, #name, int, const void *, size_t, offset_type);      \
        if (!inode(fd)) return real(fd, data, length, at);                 \
        enter();                                                           \
        ssize_t done = real(fd, data, length, at);                         \
        if (done > 0) note(WRITTEN, "", "", inode(fd), at, done, data);    \
        leave();                                                           \
        return done;                                                       \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t write(int fd, const void *data, size_t length) {
    REAL(ssize_t, "write", int, const void *, size_t);
    if (!inode(fd)) return real(fd, data, length);
    enter();
    ssize_t done = real(fd, data, length);
    /* Where it went is known afterwards, also for a file that is only added to. */
    if (done > 0) note(WRITTEN, "", "", inode(fd), lseek(fd, 0, SEEK_CUR) - done, done, data);
    leave();
    return done;
}

#define RESIZE(name, size_type)                                            \
    int name(int fd, size_type size) {                                     \
        REAL(int, #name, int, size_type);                                  \
        if (!inode(fd)) return real(fd, size);                             \
        enter();                                                           \
        int failed = real(fd, size);                                       \
        if (!failed) note(RESIZED, "", "", inode(fd), 0, size, NULL);      \
        leave();                                                           \
        return failed;                                                     \
    }
RESIZE(ftruncate, off_t)
RESIZE(ftruncate64, off64_t)

static void allocated(int fd, int failed) {
    struct stat found;
    if (!failed && fstat(fd, &found) == 0)
        note(RESIZED, "", "", inode(fd), 0, found.st_size, NULL);
}

#define ALLOCATE(name, size_type)                                          \
    int name(int fd, size_type at, size_type length) {                     \
        REAL(int, #name, int, size_type, size_type);                       \
        if (!inode(fd)) return real(fd, at, length);                       \
        enter();                                                           \
        int failed = real(fd, at, length);                                 \
        allocated(fd, failed);                                             \
        leave();                                                           \
        return failed;                                                     \
    }
ALLOCATE(posix_fallocate, off_t)
ALLOCATE(posix_fallocate64, off64_t)

#define SYNC(name)                                                         \
    int name(int fd) {                                                     \
        REAL(int, #name, int);                                             \
        if (!inode(fd)) return real(fd);                                   \
        enter();                                                           \
        int failed = real(fd);                                             \
        if (!failed) note(is_folder[fd] ? FOLDER : SYNCED, "", "", inode(fd), 0, 0, NULL); \
        leave();                                                           \
        return failed;                                                     \
    }
SYNC(fsync)
SYNC(fdatasync)

/* ---- Names ---- */

static int removed(int at, const char *path, int failed) {
    char full[PATH_MAX];
    const char *name = failed ? NULL : named(at, path, full);
    if (name) note(REMOVED, name, "", 0, 0, 0, NULL);
    return failed;
}

int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    if (!recording()) return real(path);
    enter();
    int failed = removed(AT_FDCWD, path, real(path));
    leave();
    return failed;
}

int unlinkat(int at, const char *path, int flags) {
    REAL(int, "unlinkat", int, const char *, int);
    if (!recording()) return real(at, path, flags);
    enter();
    int failed = removed(at, path, real(at, path, flags));
    leave();
    return failed;
}

static int both(uint32_t kind, int at, const char *from, int to_at, const char *to, int failed) {
    char one[PATH_MAX], two[PATH_MAX];
    const char *name = failed ? NULL : named(at, from, one);
    const char *other = failed ? NULL : named(to_at, to, two);
    if (name && other) note(kind, name, other, 0, 0, 0, NULL);
    return failed;
}

int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    if (!recording()) return real(from, to);
    enter();
    int failed = both(RENAMED, AT_FDCWD, from, AT_FDCWD, to, real(from, to));
    leave();
    return failed;
}

int link(const char *from, const char *to) {
    REAL(int, "link", const char *, const char *);
    if (!recording()) return real(from, to);
    enter();
    int failed = both(LINKED, AT_FDCWD, from, AT_FDCWD, to, real(from, to));
    leave();
    return failed;
}

int linkat(int at, const char *from, int to_at, const char *to, int flags) {
    REAL(int, "linkat", int, const char *, int, const char *, int);
    if (!recording()) return real(at, from, to_at, to, flags);
    enter();
    int failed = both(LINKED, at, from, to_at, to, real(at, from, to_at, to, flags));
    leave();
    return failed;
}
