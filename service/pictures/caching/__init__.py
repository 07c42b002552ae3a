"""The cache of the fleet. `PictureCache` is its only public class; this page is its theory of operation.

Layers. There are two. *Memory* (`memory.py`) belongs to one process and is bounded in bytes. The *shared cache* is the
port `SharedCache`, in production a Redis or Valkey server. All processes that use the same server are the *fleet*.
Without a server, memory is the only layer and every process is a fleet of its own. Lookups ask memory first, and
entries from the shared cache are put into memory.

Keys and entries. A key is an *owner* and a *field*. The owner is a contact, the mezzanine of a contact, or "blank" for
the placeholders of all contacts. The field is the record of the contact's original, its stored bytes, its ThumbHash, or
one rendition: size, fit, format and a digest of the settings. An entry has a body, the time of its making, and the
*version* of the original that it was made from. An entry counts only if its version is the one in the contact's record.
How long a record is fresh is not known here; see `originals.py`.

Fences. A purge must not be undone by a render that began before it. Before a process reads the store, it therefore gets
a *put token* (`PutToken`). For the shared cache the token contains the contact's *fence*, a random value that every
purge deletes. A put is one atomic script: it stores the entry only if the fence is still the same. All tokens between
two purges have the same fence, so renders of one contact do not disturb each other.

Epochs. In memory the same is done by the contact's *epoch*, a counter that each purge increments. The epoch is part of
the key. An entry that is put under the epoch of an old token, or of an old lookup, is never found. The counters are in
a table of fixed size, so contacts that share a counter are forgotten together. That costs lookups and is harmless.

Leases. When an entry is missing, one process of the fleet is to make it. `make_once` asks the shared cache for the
entry once more, and for the *lease* to make it, in one step. The process that gets the lease is the *leader*. It renews
the lease three times in its length, and the put of the entry releases it. The others are *followers*. They wait until
the lease is released or expires, and ask again: they get the entry, or one of them gets the lease. A follower waits for
`max_wait` seconds at most, and not while it is unsubscribed. Then it makes the entry without a lease. Within one
process, `SingleFlight` has joined identical requests before.

Purges. `purge` increments the epoch, then runs one atomic script that deletes the contact's entries, its mezzanine and
its fence, and publishes the contact. Every other process increments its epoch when it receives the message. The purging
process increments its own epoch once more after the script, because a lookup in between may have brought an old entry
into memory. `announce` publishes a contact without deleting anything: a newer record has been put.

Absences. The record of a missing picture replaces all other entries of its contact in the shared cache. But if the
record there is that of a picture, it is put beside it as an *absence*: another host's folder may have the picture. A
record that is older than its absence is *doubted*. It is returned as such, it is never put into memory, and the caller
asks the store. The next record deletes the absence. The process that has put the absence has the record of a missing
picture in its own memory.

Pending purges. A purge that the shared cache does not acknowledge is *pending*. It is retried twice a second until it
is acknowledged. Until then this process does not ask the shared cache about that contact, because the old entries are
still there. After too many pending purges, a purge of everything takes their place.

Subscription. While the server does not answer, messages are late; while a process has no connection to the channel,
they are lost. In both cases it is *unsubscribed*, and serves a stale record only if the store fails. If the connection
is the same when the server answers again, the process has received all messages, and memory stays. With a new
connection it empties its memory, because the lost messages may have concerned any contact.

Failures (`shared_layer.py`). The shared cache never fails a request.

- Slow or frozen: each lookup has a short time limit. After two unanswered lookups, a request does without.
- Gone: after three failures in a row a circuit breaker opens. While it is open, one lookup a second is tried, and puts
  are dropped.
- Full: puts fail, lookups continue.
- Overloaded: puts run in the background. When too many are under way, further ones are dropped.
- Emptied, or with damaged, foreign or too large values: these are misses. Without a fence a put is refused.
- Restored from an older dump, or replaced by a replica that lacks the last writes: the adapter makes all entries void
  when a process connects that has received a purge which the server has lost (`service/caches/generation.py`).

What is guaranteed:

- Requests that this process receives after `purge` has returned are not served an entry from before the purge, whatever
  the state of the shared cache.
- After `purge` has returned True, such an entry is not in the shared cache, and cannot be put there.
- Every subscribed process drops such entries from memory when it receives the message, usually within milliseconds.
- A process that does not receive the message serves them while their record is fresh (`cache.fresh_for`), and longer
  only while the store fails.

What is not guaranteed:

- That an entry is kept. Any entry may be missing at any time.
- That an entry is made only once. A leader may be stopped for longer than its lease, and a follower may
  have waited for `max_wait` seconds.
- That other processes have received a purge when it returns. There is no acknowledgement from them.
- That a pending purge is completed. It is given up when its process ends.
- That a purge outlasts a loss of writes if no running process has received it.
"""
