/*
 * What uWebSockets.js lacks in a worker thread: an end of the thread that does not abort the process, a duplicate of a descriptor, and a few
 * socket options of a descriptor. src/internals/uws/ loads it, after uWebSockets.js.
 *
 * It uses Node-API and libuv only, so one binary serves every Node. It keeps no state outside of an environment: several threads may use it at once.
 * `npm run native` builds native/prebuilt/ after each change of this file; a test compares the checksum of this file with the binaries.
 */

#define _GNU_SOURCE
#define NAPI_VERSION 8
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <node_api.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>
#include "arguments.h"
#include "connections.h"

#ifndef GUARD_SOURCE
#error "GUARD_SOURCE is the SHA-256 of this file: scripts/native passes it"
#endif

/* Longest SO_LINGER in seconds that a caller may ask for. */
#define LINGER_MAX 65535
#define TEXT(number) #number
#define TEXT_OF(macro) TEXT(macro)
/* File names of the binaries of uWebSockets.js begin so. */
#define UWS_NAME "uws_"

/* What it keeps of an environment. */
typedef struct {
  uv_loop_t *loop;
  bool is_guarded;
  /* the last copy of dup(), and the number that the kernel gives to its socket and to no later one; -1: none */
  int copy;
  uint64_t cookie;
} thread;

/* --- errors: each function returns NULL with a pending JavaScript error --- */

/* Throws an Error whose code is the name of errno. */
static napi_value system_error(napi_env env, const char *call, int error) {
  char name[32], text[128], why[64];
  uv_err_name_r(uv_translate_sys_error(error), name, sizeof name);
  uv_strerror_r(uv_translate_sys_error(error), why, sizeof why);
  snprintf(text, sizeof text, "%s: %s, %s", call, name, why);
  napi_throw_error(env, name, text);
  return NULL;
}

/* --- arguments --- */

static bool truth(napi_env env, napi_value value, bool *out) {
  napi_valuetype type;
  if (napi_typeof(env, value, &type) != napi_ok || type != napi_boolean) return false;
  return napi_get_value_bool(env, value, out) == napi_ok;
}

static napi_value boolean(napi_env env, bool value) {
  napi_value result = NULL;
  napi_get_boolean(env, value, &result);
  return result;
}

/* --- guard(): the end of a thread --- */

/* The loaded code of uWebSockets.js that holds an address. `lowest` and `highest` are 0 until an address was found. */
typedef struct {
  uintptr_t address;
  uintptr_t lowest;
  uintptr_t highest;
} uws_code;

/* Called for each loaded file. Stops (1) at a file of uWebSockets.js that holds code->address, or at the first one when that is 0. */
static int find_uws(struct dl_phdr_info *file, size_t size, void *arg) {
  uws_code *code = arg;
  const char *slash = strrchr(file->dlpi_name, '/');
  (void) size;
  if (strncmp(slash == NULL ? file->dlpi_name : slash + 1, UWS_NAME, strlen(UWS_NAME)) != 0) return 0;
  for (int i = 0; i < file->dlpi_phnum; i++) {
    const ElfW(Phdr) *part = &file->dlpi_phdr[i];
    uintptr_t lowest = file->dlpi_addr + part->p_vaddr;
    if (part->p_type != PT_LOAD || (part->p_flags & PF_X) == 0) continue;
    if (code->address != 0 && (code->address < lowest || code->address >= lowest + part->p_memsz)) continue;
    code->lowest = lowest;
    code->highest = lowest + part->p_memsz;
    return 1;
  }
  return 0;
}

/* Node has poll handles of its own (c-ares) and closes them itself, and a second uv_close() aborts: the callback tells whose handle it is. */
static bool is_of_uws(const uv_poll_t *poll, uws_code *code) {
  uintptr_t callback = (uintptr_t) poll->poll_cb;
  if (callback == 0) return false;
  if (callback >= code->lowest && callback < code->highest) return true;
  code->address = callback;
  return dl_iterate_phdr(find_uws, code) == 1;
}

static void end_poll(uv_handle_t *handle, void *code) {
  uv_os_fd_t fd = -1;
  if (uv_handle_get_type(handle) != UV_POLL || uv_is_closing(handle) || !is_of_uws((uv_poll_t *) handle, code)) return;
  if (uv_fileno(handle, &fd) != 0) fd = -1;
  uv_poll_stop((uv_poll_t *) handle);
  /* No callback: uWebSockets.js keeps the memory of the handle. */
  uv_close(handle, NULL);
  if (fd >= 0) close(fd);
}

/* Runs on the thread when its environment ends, for whatever reason; nothing of JavaScript runs any more. */
static void end_environment(void *loop) {
  uws_code code = { 0, 0, 0 };
  uv_walk(loop, end_poll, &code);
}

/*
 * guard(): from now on every socket that uWebSockets.js has in this thread is closed when the thread ends. Without it libuv aborts the process.
 * uWebSockets.js must be loaded first: clean-up hooks run backwards. Further calls do nothing.
 */
static napi_value guard(napi_env env, napi_callback_info info) {
  thread *self = NULL;
  uws_code code = { 0, 0, 0 };
  (void) info;
  if (napi_get_instance_data(env, (void **) &self) != napi_ok || self->is_guarded) return NULL;
  if (dl_iterate_phdr(find_uws, &code) != 1) {
    napi_throw_error(env, "ERR_UWS_NOT_LOADED", "guard: uWebSockets.js is not loaded, and must be loaded first");
    return NULL;
  }
  if (napi_add_env_cleanup_hook(env, end_environment, self->loop) != napi_ok) {
    napi_throw_error(env, "ERR_NO_HOOK", "guard: this thread takes no clean-up hook");
    return NULL;
  }
  self->is_guarded = true;
  return NULL;
}

/* --- descriptors --- */

/* Runs after what ends the sockets of the loop. A thread may be ended between dup() and what takes the copy over: only JavaScript knew it then. */
static void end_copy(void *arg) {
  thread *self = arg;
  uint64_t cookie = 0;
  bool is_watched = self->copy >= 0 && (unsigned int) self->copy < self->loop->nwatchers && self->loop->watchers[self->copy] != NULL;
  /* A closed copy's number may be that of another thread's descriptor. */
  if (self->copy >= 0 && !is_watched && cookie_of(self->copy, &cookie) && cookie == self->cookie) close(self->copy);
  free(self);
}

/*
 * dup(fd): a new descriptor of the same socket, closed on exec, at least 3. The caller closes it or gives it to something that watches it before
 * its next dup(): the end of the thread closes the last copy that nothing watches. Throws the error of the system, EBADF or EMFILE.
 */
static napi_value dup_descriptor(napi_env env, napi_callback_info info) {
  napi_value values[1], result = NULL;
  thread *self = NULL;
  int fd;
  if (!with_descriptor(env, info, "dup(fd): fd must be a descriptor", values, 1, &fd, NULL)) return NULL;
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) return system_error(env, "dup", errno);
  if (napi_create_int32(env, copy, &result) != napi_ok || napi_get_instance_data(env, (void **) &self) != napi_ok) {
    close(copy);
    return NULL;
  }
  self->copy = cookie_of(copy, &self->cookie) ? copy : -1;
  return result;
}

/* linger(fd, seconds): what close() does with unsent bytes. 0 resets the connection, -1 is the default of the system. */
static napi_value set_linger(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int fd, seconds;
  if (!with_descriptor(env, info, "linger(fd, seconds): fd must be a descriptor", values, 2, &fd, NULL)) return NULL;
  if (!whole(env, values[1], -1, LINGER_MAX, &seconds)) {
    return type_error(env, "linger(fd, seconds): seconds must be a whole number between -1 and 65535");
  }
  struct linger linger = { seconds >= 0, seconds >= 0 ? seconds : 0 };
  if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) != 0) return system_error(env, "linger", errno);
  return NULL;
}

/* noDelay(fd, on): true sends each write at once (TCP_NODELAY). */
static napi_value set_no_delay(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int fd;
  bool on;
  if (!with_descriptor(env, info, "noDelay(fd, on): fd must be a descriptor", values, 2, &fd, NULL)) return NULL;
  if (!truth(env, values[1], &on)) return type_error(env, "noDelay(fd, on): on must be a boolean");
  int value = on;
  if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, sizeof value) != 0) return system_error(env, "noDelay", errno);
  return NULL;
}

/*
 * readable(fd, on): false stops reading a descriptor that uWebSockets.js has adopted in this thread; true resumes. Writing is not touched.
 * uWebSockets.js resumes reading by itself when output begins or ends to wait: the caller stops it again then.
 * Returns false, and changes nothing, while the loop does not watch the descriptor as uWebSockets.js wants: call again after the next poll phase.
 */
static napi_value set_readable(napi_env env, napi_callback_info info) {
  napi_value values[2];
  uv_loop_t *loop = NULL;
  int fd;
  bool on;
  if (!with_descriptor(env, info, "readable(fd, on): fd must be a descriptor", values, 2, &fd, NULL)) return NULL;
  if (!truth(env, values[1], &on)) return type_error(env, "readable(fd, on): on must be a boolean");
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) return boolean(env, false);
  uv__io_t *watcher = (unsigned int) fd < loop->nwatchers ? loop->watchers[fd] : NULL;
  if (watcher == NULL || watcher->fd != fd || watcher->events != watcher->pevents) return boolean(env, false);
  uint32_t events = on ? watcher->pevents : watcher->pevents & ~(uint32_t) EPOLLIN;
  struct epoll_event wanted = { .events = events, .data = { .fd = fd } };
  if (epoll_ctl(uv_backend_fd(loop), EPOLL_CTL_MOD, fd, &wanted) == 0) return boolean(env, true);
  return errno == ENOENT ? boolean(env, false) : system_error(env, "readable", errno);
}

/* --- the module --- */

/* False: a JavaScript error is pending. */
static bool begin_environment(napi_env env) {
  thread *self = calloc(1, sizeof *self);
  if (self != NULL && napi_get_uv_event_loop(env, &self->loop) == napi_ok && napi_set_instance_data(env, self, NULL, NULL) == napi_ok &&
      napi_add_env_cleanup_hook(env, end_copy, self) == napi_ok) {
    self->copy = -1;
    return true;
  }
  napi_set_instance_data(env, NULL, NULL, NULL);
  free(self);
  napi_throw_error(env, "ERR_NO_HOOK", "guard: this thread takes no clean-up hook");
  return false;
}

NAPI_MODULE_INIT() {
  napi_value source = NULL;
  /* The prefix finds the checksum in the file of another architecture. */
  static const char stamp[] = "fluxmq native sha256 " GUARD_SOURCE;
  /* readable() and trace() know the watchers of this libuv and of those before it. */
  if (uv_version() >> 8 > UV_VERSION_HEX >> 8 || uv_version() >> 16 != UV_VERSION_MAJOR) {
    napi_throw_error(env, "ERR_LIBUV", "guard: it knows no libuv after 1." TEXT_OF(UV_VERSION_MINOR));
    return NULL;
  }
  if (napi_create_string_latin1(env, stamp, NAPI_AUTO_LENGTH, &source) != napi_ok || !begin_environment(env)) return NULL;
  const napi_property_descriptor properties[] = {
    { "source", NULL, NULL, NULL, NULL, source, napi_enumerable, NULL },
    { "guard", NULL, guard, NULL, NULL, NULL, napi_enumerable, NULL },
    { "dup", NULL, dup_descriptor, NULL, NULL, NULL, napi_enumerable, NULL },
    { "linger", NULL, set_linger, NULL, NULL, NULL, napi_enumerable, NULL },
    { "noDelay", NULL, set_no_delay, NULL, NULL, NULL, napi_enumerable, NULL },
    { "readable", NULL, set_readable, NULL, NULL, NULL, napi_enumerable, NULL },
  };
  napi_define_properties(env, exports, sizeof properties / sizeof *properties, properties);
  return define_connections(env, exports) ? exports : NULL;
}
