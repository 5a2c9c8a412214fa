#include "delivery.h"

#include "own.h"
#include "text.h"

#define WAIT_LEAST_MS 20u
#define WAIT_MOST_MS  10000u

void delivery_init(struct delivery *delivery, const struct delivery_budget *budget)
{
	*delivery = (struct delivery){.budget = *budget};
}

/* Takes the device's chunks out of the sums and it out of the order. */
static void take_out(struct delivery *delivery, struct delivery_device *device)
{
	if (device->young)
		delivery->young -= device->outstanding;
	delivery->all -= device->outstanding;
	device->outstanding = 0;
	if (delivery->first_young == device)
		delivery->first_young = device->newer;
	if (device->older)
		device->older->newer = device->newer;
	else
		delivery->oldest = device->newer;
	if (device->newer)
		device->newer->older = device->older;
	else
		delivery->newest = device->older;
	device->older = device->newer = NULL;
	device->young = false;
}

static void put_in(struct delivery *delivery, struct delivery_device *device,
		   uint32_t outstanding, bool young, uint64_t now_ms)
{
	device->outstanding = outstanding;
	device->last_ms = now_ms;
	device->young = young;
	device->older = delivery->newest;
	device->newer = NULL;
	if (delivery->newest)
		delivery->newest->newer = device;
	else
		delivery->oldest = device;
	delivery->newest = device;
	if (!delivery->first_young)
		delivery->first_young = device;
	delivery->young += young ? outstanding : 0;
	delivery->all += outstanding;
}

static void drop(struct delivery *delivery, struct delivery_device *device)
{
	take_out(delivery, device);
	HASH_DEL(delivery->devices, device);
	free(device);
}

void delivery_done(struct delivery *delivery)
{
	while (delivery->oldest)
		drop(delivery, delivery->oldest);
}

void delivery_forget(struct delivery *delivery, const char *device)
{
	struct delivery_device *found;

	HASH_FIND_STR(delivery->devices, device, found);
	if (found)
		drop(delivery, found);
}

/* What was young and is not any more, what was on its way and must be lost. */
static void age(struct delivery *delivery, uint64_t now_ms)
{
	while (delivery->first_young &&
	       now_ms - delivery->first_young->last_ms >= DELIVERY_YOUNG_MS) {
		if (delivery->first_young->young)
			delivery->young -= delivery->first_young->outstanding;
		delivery->first_young->young = false;
		delivery->first_young = delivery->first_young->newer;
	}
	while (delivery->oldest && now_ms - delivery->oldest->last_ms >= DELIVERY_LOST_MS)
		drop(delivery, delivery->oldest);
	if (now_ms - delivery->waited_ms >= DELIVERY_YOUNG_MS)
		delivery->waiters = 0;
}

/* About as long as it takes to serve all who are in the middle of something, a millisecond or
 * two each: who asks sooner is only refused again. Spread, so that they do not come back
 * together. */
static uint32_t tell_wait(struct delivery *delivery, struct delivery_device *device,
			  uint64_t now_ms)
{
	uint64_t count = HASH_COUNT(delivery->devices);
	uint64_t wait_ms = WAIT_LEAST_MS + count + delivery->waiters % (count + 1);

	device->turn = 0;
	delivery->waiters++;
	delivery->waited_ms = now_ms;
	return (uint32_t)(wait_ms < WAIT_MOST_MS ? wait_ms : WAIT_MOST_MS);
}

static struct delivery_device *device_of(struct delivery *delivery, const char *id,
					 uint64_t now_ms)
{
	struct delivery_device *device;

	HASH_FIND_STR(delivery->devices, id, device);
	if (device)
		return device;
	device = calloc(1, sizeof(*device));
	if (!device)
		return NULL;
	text_copy(device->id, sizeof(device->id), id);
	HASH_ADD_STR(delivery->devices, id, device);
	put_in(delivery, device, 0, true, now_ms);
	return device;
}

/* All, or nothing; but who has waited often, or asks for much of the whole budget, takes what
 * there is. */
static uint32_t grant(const struct delivery *delivery, const struct delivery_device *device,
		      uint32_t wanted, uint32_t room)
{
	if (device->turn >= DELIVERY_TURN && delivery->waiters > 0)
		return 0;
	if (wanted <= room)
		return wanted;
	if (device->refused >= DELIVERY_PATIENCE || wanted > delivery->budget.young / 2)
		return room;
	return 0;
}

/* What is still under way to a device that is told to wait. */
static uint32_t leftover(const struct delivery_device *device, uint32_t before, uint32_t wanted,
			 uint64_t now_ms)
{
	if (before <= wanted || now_ms - device->last_ms < DELIVERY_FAST_MS)
		return 0;
	return before - wanted;
}

uint32_t delivery_admit(struct delivery *delivery, const char *id, uint32_t wanted,
			uint64_t now_ms, uint32_t *ret_wait_ms)
{
	struct delivery_device *device;
	uint32_t before, room_young, room_all, room, granted, outstanding;
	bool was_young;

	age(delivery, now_ms);
	device = device_of(delivery, id, now_ms);
	if (!device) {
		*ret_wait_ms = WAIT_MOST_MS;
		return 0;
	}
	/* It asks because some have arrived: what it now asks for replaces them. */
	before = device->outstanding;
	was_young = device->young;
	take_out(delivery, device);
	room_young = delivery->young < delivery->budget.young
			     ? delivery->budget.young - delivery->young
			     : 0;
	room_all =
		delivery->all < delivery->budget.all ? delivery->budget.all - delivery->all : 0;
	if (wanted > MESSAGE_WINDOW_MAX)
		wanted = MESSAGE_WINDOW_MAX;
	room = room_young < room_all ? room_young : room_all;
	granted = grant(delivery, device, wanted, room);
	if (granted == 0) {
		device->refused++;
		put_in(delivery, device, leftover(device, before, wanted, now_ms), was_young,
		       now_ms);
		*ret_wait_ms = tell_wait(delivery, device, now_ms);
		return 0;
	}
	device->refused = 0;
	device->turn += granted;
	if (granted > device->window || before == 0)
		device->window = granted;
	outstanding = granted > device->window ? granted : device->window;
	put_in(delivery, device, outstanding < room ? outstanding : room, true, now_ms);
	return granted;
}
