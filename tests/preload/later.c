/* Lets time pass at once, for tests.
 *
 * Loaded by LD_PRELOAD. CALLOUT_LATER_CONTROL names a file of one 64-bit number that the test writes while the program
 * runs: how many seconds the clock that people set and the one that nobody sets are ahead of the machine's.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *control;
static __typeof__(&clock_gettime) real_clock;
static __typeof__(&syscall) real_syscall;

__attribute__((constructor)) static void begin(void) {
    real_clock = (__typeof__(real_clock))dlsym(RTLD_NEXT, "clock_gettime");
    real_syscall = (__typeof__(real_syscall))dlsym(RTLD_NEXT, "syscall");
    const char *file = getenv("CALLOUT_LATER_CONTROL");
    if (!file) return;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) abort();
    void *map = mmap(NULL, sizeof *control, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) abort();
    close(fd);
    control = map;
}

static int64_t ahead(void) { return control ? *control : 0; }

int clock_gettime(clockid_t clock, struct timespec *now) {
    if (!real_clock) begin();
    int failed = real_clock(clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC)) now->tv_sec += ahead();
    return failed;
}

/* A thread that waits until some moment, which it knows from the clock above, asks the kernel, which does not. */
long syscall(long number, ...) {
    if (!real_syscall) begin();
    long given[6];
    va_list rest;
    va_start(rest, number);
    for (int n = 0; n < 6; n++) given[n] = va_arg(rest, long);
    va_end(rest);
    struct timespec until;
    if (number == SYS_futex && (given[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET && given[3]) {
        until = *(struct timespec *)given[3];
        until.tv_sec = until.tv_sec > ahead() ? until.tv_sec - ahead() : 0;
        given[3] = (long)&until;
    }
    return real_syscall(number, given[0], given[1], given[2], given[3], given[4], given[5]);
}
