// The origin behind every candidate: answers "GET /N" with a body of N bytes, and anything else with 128 bytes.
// Keeps connections open, unless the request says "Connection: close". A slow reader costs it no busy waiting: what
// the socket does not take is sent when it can be written again.
// It trusts its clients, which are the proxies of this bench: a request must arrive whole, in one read, without a body.
// usage: origin PORT
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BODY_BYTES_DEFAULT 128
#define BODY_BYTES_MAX (64 << 20)
#define ANSWERS_MAX 8  // distinct body sizes kept ready; a bench uses two
#define READY_MAX 512

// One prepared answer: head and body in one piece, so that a small answer is one send.
struct answer { long body_bytes; int closing; size_t whole_bytes; char *bytes; };

// A connection. `answer` is set only while a part of it waits for the socket to become writable.
struct peer { int fd; struct answer *answer; size_t sent; };

static struct answer answers[ANSWERS_MAX];
static int answers_count;
static char request[64 * 1024];

static struct answer *prepare(long body_bytes, int closing) {
  for (int i = 0; i < answers_count; i++)
    if (answers[i].body_bytes == body_bytes && answers[i].closing == closing) return &answers[i];
  if (answers_count == ANSWERS_MAX) { fprintf(stderr, "origin: more than %d different answers asked for\n", ANSWERS_MAX); exit(1); }
  struct answer *made = &answers[answers_count++];
  made->body_bytes = body_bytes;
  made->closing = closing;
  made->bytes = malloc((size_t)body_bytes + 256);
  if (!made->bytes) { perror("origin: malloc"); exit(1); }
  int head = sprintf(made->bytes, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %ld\r\n%s\r\n", body_bytes,
                     closing ? "Connection: close\r\n" : "");
  memset(made->bytes + head, 'm', (size_t)body_bytes);
  made->whole_bytes = (size_t)head + (size_t)body_bytes;
  return made;
}

static void drop(struct peer *peer) {
  close(peer->fd);
  free(peer);
}

// Sends what is left of the answer. Returns 0 when the peer is gone.
static int proceed(struct peer *peer) {
  while (peer->sent < peer->answer->whole_bytes) {
    ssize_t took = send(peer->fd, peer->answer->bytes + peer->sent, peer->answer->whole_bytes - peer->sent, MSG_NOSIGNAL);
    if (took < 0 && errno == EAGAIN) return 1;
    if (took < 0) { drop(peer); return 0; }
    peer->sent += (size_t)took;
  }
  int closing = peer->answer->closing;
  peer->answer = NULL;
  if (closing) { drop(peer); return 0; }
  return 1;
}

static long wanted_bytes(const char *head) {
  if (strncmp(head, "GET /", 5) != 0 || head[5] < '0' || head[5] > '9') return BODY_BYTES_DEFAULT;
  long bytes = atol(head + 5);
  return bytes <= BODY_BYTES_MAX ? bytes : BODY_BYTES_DEFAULT;
}

static void converse(struct peer *peer) {
  if (peer->answer && (!proceed(peer) || peer->answer)) return;
  for (;;) {
    ssize_t got = recv(peer->fd, request, sizeof request - 1, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) { drop(peer); return; }
    request[got] = 0;
    if (got < 4 || memcmp(request + got - 4, "\r\n\r\n", 4) != 0) {
      fprintf(stderr, "origin: a request that did not arrive whole in one read\n");
      drop(peer);
      return;
    }
    peer->answer = prepare(wanted_bytes(request), strcasestr(request, "\r\nConnection: close\r\n") != NULL);
    peer->sent = 0;
    if (!proceed(peer) || peer->answer) return;
    if ((size_t)got < sizeof request - 1) return;  // a short read: the socket is drained
  }
}

static void admit(int listener, int set) {
  int one = 1;
  for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
    struct peer *peer = calloc(1, sizeof *peer);
    if (!peer) { close(fd); continue; }
    peer->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event want = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = peer};
    epoll_ctl(set, EPOLL_CTL_ADD, fd, &want);
  }
}

int main(int argc, char **argv) {
  if (argc != 2) { fprintf(stderr, "usage: origin PORT\n"); return 2; }
  int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 4096)) { perror("origin: listen"); return 1; }
  signal(SIGPIPE, SIG_IGN);

  int set = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event want = {.events = EPOLLIN, .data.ptr = NULL}, ready[READY_MAX];
  epoll_ctl(set, EPOLL_CTL_ADD, listener, &want);
  for (;;) {
    int count = epoll_wait(set, ready, READY_MAX, -1);
    for (int i = 0; i < count; i++) {
      if (ready[i].data.ptr) converse(ready[i].data.ptr);
      else admit(listener, set);
    }
  }
}
