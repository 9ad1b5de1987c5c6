/* Loaded by LD_PRELOAD into a broker under test: writes below a folder fail with the error number that a file names. Production code knows nothing of it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* The error to fail with: of the file FAULTY_ERROR, when the descriptor is one of a file below FAULTY_FOLDER. 0: none. */
static int fault(int fd) {
  const char *folder = getenv("FAULTY_FOLDER"), *control = getenv("FAULTY_ERROR");
  char link[64], path[4096], text[16] = {0};
  int saved = errno, file;
  ssize_t length;
  if (folder == NULL || control == NULL) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  length = readlink(link, path, sizeof path - 1);
  if (length < 0) { errno = saved; return 0; }
  path[length] = 0;
  if (strncmp(path, folder, strlen(folder)) != 0) { errno = saved; return 0; }
  file = open(control, O_RDONLY | O_CLOEXEC);
  if (file < 0) { errno = saved; return 0; }
  if (read(file, text, sizeof text - 1) < 0) text[0] = 0;
  close(file);
  errno = saved;
  return atoi(text);
}

#define FAIL(fd) do { int error = fault(fd); if (error != 0) { errno = error; return -1; } } while (0)
#define REAL(name) static __typeof__(name) *real; if (real == NULL) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *bytes, size_t count) { REAL(write); FAIL(fd); return real(fd, bytes, count); }
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) { REAL(pwrite); FAIL(fd); return real(fd, bytes, count, at); }
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) { REAL(pwrite64); FAIL(fd); return real(fd, bytes, count, at); }
ssize_t writev(int fd, const struct iovec *parts, int count) { REAL(writev); FAIL(fd); return real(fd, parts, count); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) { REAL(pwritev); FAIL(fd); return real(fd, parts, count, at); }
int fsync(int fd) { REAL(fsync); FAIL(fd); return real(fd); }
int fdatasync(int fd) { REAL(fdatasync); FAIL(fd); return real(fd); }
int ftruncate(int fd, off_t size) { REAL(ftruncate); FAIL(fd); return real(fd, size); }
int ftruncate64(int fd, off64_t size) { REAL(ftruncate64); FAIL(fd); return real(fd, size); }
