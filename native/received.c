/* Counts what a TCP connection has received. A file of its own: the kernel's struct tcp_info has more than that of libc, which uv.h includes. */

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include "connections.h"

int tcp_received(int fd, double *bytes) {
  struct tcp_info facts;
  socklen_t size = sizeof facts;
  memset(&facts, 0, sizeof facts);
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &facts, &size) != 0) return errno;
  *bytes = (double) facts.tcpi_bytes_received;
  return 0;
}
