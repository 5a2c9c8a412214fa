/* Keeps the daemon's resident memory small; an application that embeds the library decides that
 * for itself. */
#pragma once

/* Once, before the first thread: all threads share one heap. */
void lean_begin(void);
/* After something that is not soon done again (a start, a handshake, a check of signatures):
 * the code and constants that were mapped in for it, and free heap, go back to the kernel. What
 * is needed again comes back by itself. */
void lean_give_back(void);
