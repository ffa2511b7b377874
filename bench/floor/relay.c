// The floor of a forward: what the kernel alone costs when bytes go from one socket to another.
// A bare edge-triggered epoll loop with a newest-first pool of origin connections. Of HTTP it knows the end of a head,
// Content-Length, and "Connection: close"; it checks nothing, limits nothing and answers no error, so it is no proxy, and
// nothing that is one can cost less on this kernel.
// Bodies pass through one scratch buffer; what a slow client does not take is kept, and its origin is not read meanwhile.
// It trusts both sides, which are this bench's own: heads arrive whole in one read, requests have no body.
// usage: relay PORT ORIGIN_PORT
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define SCRATCH_BYTES (256 * 1024)
#define IDLE_MAX 16384
#define READY_MAX 512
static const char CLOSE_FIELD[] = "Connection: close\r\n";
enum { CLOSE_FIELD_BYTES = sizeof CLOSE_FIELD - 1 };

enum side { CLIENT, ORIGIN };

// One connection. A client and the origin connection that serves it point at each other for one exchange.
// `ended` means closed but still named by an event of this batch; it is freed after the batch.
struct end {
  int fd;
  enum side side;
  int closing, ended;
  struct end *other, *next_ended;
  long answer_left;                  // origin side: bytes of the answer still to come
  char *kept;                        // client side: what the socket did not take yet
  size_t kept_at, kept_bytes;
};

static struct end *idle[IDLE_MAX], *ended;
static int idle_count, set;
static struct sockaddr_in origin_address;
static char scratch[SCRATCH_BYTES];

static struct end *watch(int fd, enum side side) {
  int one = 1;
  struct end *end = calloc(1, sizeof *end);
  if (!end) { perror("relay: calloc"); exit(1); }
  end->fd = fd;
  end->side = side;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  struct epoll_event want = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = end};
  epoll_ctl(set, EPOLL_CTL_ADD, fd, &want);
  return end;
}

static void finish(struct end *end) {
  if (end->ended) return;
  for (int i = 0; end->side == ORIGIN && !end->other && i < idle_count; i++)
    if (idle[i] == end) { idle[i] = idle[--idle_count]; break; }
  close(end->fd);
  free(end->kept);
  end->kept = NULL;
  end->ended = 1;
  end->next_ended = ended;
  ended = end;
  struct end *other = end->other;
  end->other = NULL;
  if (other) { other->other = NULL; finish(other); }  // an exchange cut in half is over for both
}

static struct end *checkout(void) {
  if (idle_count) return idle[--idle_count];
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&origin_address, sizeof origin_address)) { perror("relay: connect"); exit(1); }
  return watch(fd, ORIGIN);
}

// Sends all the pieces to the client, keeping what does not fit. Returns 0 when the client is gone.
// The `last` piece for a client that is closed next waits for the FIN, to leave in one segment with it.
static int deliver(struct end *client, struct iovec *pieces, int count, int last) {
  size_t whole = 0;
  for (int i = 0; i < count; i++) whole += pieces[i].iov_len;
  struct msghdr message = {.msg_iov = pieces, .msg_iovlen = (size_t)count};
  ssize_t took = sendmsg(client->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT | (last && client->closing ? MSG_MORE : 0));
  if (took < 0 && errno != EAGAIN) { finish(client); return 0; }
  size_t sent = took < 0 ? 0 : (size_t)took;
  if (sent == whole) return 1;
  client->kept = malloc(whole - sent);
  if (!client->kept) { perror("relay: malloc"); exit(1); }
  client->kept_at = client->kept_bytes = 0;
  for (int i = 0; i < count; i++) {
    size_t skip = sent < pieces[i].iov_len ? sent : pieces[i].iov_len;
    memcpy(client->kept + client->kept_bytes, (char *)pieces[i].iov_base + skip, pieces[i].iov_len - skip);
    client->kept_bytes += pieces[i].iov_len - skip;
    sent -= skip;
  }
  return 1;
}

// The answer is complete and sent: the origin connection rests, a client that asked for it is closed.
static void complete(struct end *origin, struct end *client) {
  origin->other = client->other = NULL;
  if (idle_count < IDLE_MAX) idle[idle_count++] = origin;
  else finish(origin);
  if (client->closing) finish(client);
}

static void on_origin(struct end *origin) {
  for (;;) {
    struct end *client = origin->other;
    if (client && client->kept) return;
    ssize_t got = recv(origin->fd, scratch, sizeof scratch, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0 || !client) { finish(origin); return; }
    struct iovec pieces[3] = {{.iov_base = scratch, .iov_len = (size_t)got}};
    int count = 1;
    if (!origin->answer_left) {
      char *end = memmem(scratch, (size_t)got, "\r\n\r\n", 4), *length = memmem(scratch, (size_t)got, "Content-Length: ", 16);
      if (!end || !length) { fprintf(stderr, "relay: an answer whose head did not arrive whole\n"); exit(1); }
      size_t head = (size_t)(end + 4 - scratch);
      origin->answer_left = (long)head + atol(length + 16);
      if (client->closing) {
        pieces[0].iov_len = head - 2;
        pieces[1] = (struct iovec){.iov_base = (void *)CLOSE_FIELD, .iov_len = CLOSE_FIELD_BYTES};
        pieces[2] = (struct iovec){.iov_base = scratch + head - 2, .iov_len = (size_t)got - head + 2};
        count = 3;
      }
    }
    origin->answer_left -= got;
    if (!deliver(client, pieces, count, origin->answer_left <= 0)) return;
    if (client->kept) return;
    if (origin->answer_left <= 0) { origin->answer_left = 0; complete(origin, client); return; }
    if ((size_t)got < sizeof scratch) return;
  }
}

static void on_client(struct end *client) {
  if (client->kept) {
    while (client->kept_at < client->kept_bytes) {
      ssize_t took = send(client->fd, client->kept + client->kept_at, client->kept_bytes - client->kept_at, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (took < 0 && errno == EAGAIN) return;
      if (took < 0) { finish(client); return; }
      client->kept_at += (size_t)took;
    }
    free(client->kept);
    client->kept = NULL;
    struct end *origin = client->other;
    if (origin->answer_left <= 0) { origin->answer_left = 0; complete(origin, client); }
    else on_origin(origin);
    return;
  }
  ssize_t got = recv(client->fd, scratch, sizeof scratch, MSG_DONTWAIT);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) { finish(client); return; }
  struct end *origin = checkout();
  client->other = origin;
  origin->other = client;
  char *field = memmem(scratch, (size_t)got, CLOSE_FIELD, CLOSE_FIELD_BYTES);
  client->closing = field != NULL;
  if (field) {
    memmove(field, field + CLOSE_FIELD_BYTES, (size_t)(scratch + got - field) - CLOSE_FIELD_BYTES);
    got -= CLOSE_FIELD_BYTES;
  }
  if (send(origin->fd, scratch, (size_t)got, MSG_NOSIGNAL) != got) finish(origin);
}

int main(int argc, char **argv) {
  if (argc != 3) { fprintf(stderr, "usage: relay PORT ORIGIN_PORT\n"); return 2; }
  int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  origin_address = at;
  origin_address.sin_port = htons((uint16_t)atoi(argv[2]));
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 4096)) { perror("relay: listen"); return 1; }
  signal(SIGPIPE, SIG_IGN);

  set = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event want = {.events = EPOLLIN, .data.ptr = NULL}, ready[READY_MAX];
  epoll_ctl(set, EPOLL_CTL_ADD, listener, &want);
  for (;;) {
    int count = epoll_wait(set, ready, READY_MAX, -1);
    for (int i = 0; i < count; i++) {
      struct end *end = ready[i].data.ptr;
      if (!end) {
        // To ask whether another one waits is cheaper than to accept in vain, which makes and frees a socket.
        struct pollfd more = {.fd = listener, .events = POLLIN};
        do {
          int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
          if (fd < 0) break;
          watch(fd, CLIENT);
        } while (poll(&more, 1, 0) > 0);
      } else if (!end->ended) {
        int only_writable = ready[i].events == EPOLLOUT;  // every new connection says so once; it is news only to kept bytes
        if (only_writable && !end->kept) continue;
        if (end->side == CLIENT) on_client(end);
        else on_origin(end);
      }
    }
    while (ended) { struct end *next = ended->next_ended; free(ended); ended = next; }
  }
}
