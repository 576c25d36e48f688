/* SPDX-License-Identifier: MIT */
/*
 * An order pipeline: what retries, order, destinations and dead letters are for.
 *
 *     order.placed -> charge -> (on_success) ship -> (on_success) notify
 *                        \-> (on_failure) refuse       \-> dead letters
 *
 * - charge works on each customer's orders one at a time, in the order they were placed (FAAS_ORDER_BY_KEY), because
 *   what an order costs depends on what the customer has bought before: every third order has a discount.
 * - The payment gateway is flaky: it fails some first and second attempts, which are retried. A card without money is no
 *   matter of time: that order fails for good at once, and its record goes to refuse.
 * - One warehouse is closed. Its parcels fail until their attempts run out and are dead letters then. When it opens they
 *   are redriven, and nothing is lost.
 *
 * In the end every order was either shipped once or refused once, the money adds up, and so do the library's own counts.
 *
 * usage: orders [ORDERS]        exits with 0 if everything adds up
 */
#define _POSIX_C_SOURCE 200809L /* nanosleep */

#include <faas.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CUSTOMERS 5
#define DISCOUNT_EVERY 3

static const char *const customers[CUSTOMERS] = {"ada", "bob", "cai", "dot", "eve"};

struct order {
	int number;
	int customer;
	int64_t cents;
	atomic_int charged, shipped, refused, notified;
};

struct shop {
	struct order *orders;
	int count;
	/* Of each customer; only ever touched by that customer's one order in charge. */
	int bought[CUSTOMERS];
	int last_number[CUSTOMERS];
	atomic_int out_of_order;
	_Atomic int64_t takings;
	atomic_bool is_warehouse_open;
};

static void must(const char *what, int code)
{
	if (code < 0) {
		fprintf(stderr, "orders: %s: %s\n", what, faas_strerror(code));
		exit(1);
	}
}

static struct order *order_of(const faas_context *context, const faas_event *event)
{
	struct shop *shop = faas_context_user(context);
	int number;

	memcpy(&number, faas_event_data(event, NULL), sizeof(number));
	return &shop->orders[number];
}

/* ---- The functions ----------------------------------------------------------------------------------------------- */

/* A gateway that is down now and then: for one order in four on the first attempt, for one in eight on the second. */
static int is_gateway_down(const struct order *order, int attempt)
{
	return (attempt == 1 && order->number % 4 == 1) || (attempt == 2 && order->number % 8 == 1);
}

static int charge(faas_context *context, const faas_event *event)
{
	struct shop *shop = faas_context_user(context);
	struct order *order = order_of(context, event);
	int64_t cents = order->cents;

	if (is_gateway_down(order, faas_context_attempt(context)))
		return faas_context_fail(context, "the payment gateway does not answer");
	if (order->number % 10 == 7)
		return faas_context_fail_permanent(context, "the card is not covered");
	/* No lock: this customer's next order waits, also while this one is retried. */
	if (order->number < shop->last_number[order->customer])
		atomic_fetch_add(&shop->out_of_order, 1);
	shop->last_number[order->customer] = order->number;
	if (++shop->bought[order->customer] % DISCOUNT_EVERY == 0)
		cents -= cents / 10;
	atomic_fetch_add(&shop->takings, cents);
	atomic_fetch_add(&order->charged, 1);
	return faas_context_reply(context, &cents, sizeof(cents), "application/x-cents");
}

/* Gets the record of a charge that failed for good. */
static int refuse(faas_context *context, const faas_event *event)
{
	const faas_invocation *failed = faas_context_record(context);
	struct order *order = order_of(context, event);

	printf("order %d of %s is refused: %s\n", order->number, faas_event_key(event), faas_invocation_message(failed));
	atomic_fetch_add(&order->refused, 1);
	return 0;
}

/* Gets the record of a charge that went well. */
static int ship(faas_context *context, const faas_event *event)
{
	struct shop *shop = faas_context_user(context);
	struct order *order = order_of(context, event);

	if (order->customer == CUSTOMERS - 1 && !atomic_load(&shop->is_warehouse_open))
		return faas_context_fail(context, "the warehouse is closed");
	atomic_fetch_add(&order->shipped, 1);
	return 0;
}

static int notify(faas_context *context, const faas_event *event)
{
	atomic_fetch_add(&order_of(context, event)->notified, 1);
	return 0;
}

/* ---- The account ------------------------------------------------------------------------------------------------- */

static struct faas_function_stats stats_of(faas_runtime *runtime, const char *name)
{
	struct faas_function_stats s = {.struct_size = sizeof(s)};
	faas_function *function;

	must("find", faas_function_find(runtime, name, &function));
	must("stats", faas_function_stats(function, &s));
	faas_function_unref(function);
	return s;
}

/* Prints a function's counts. Whether they add up. */
static int print_account(faas_runtime *runtime, const char *name)
{
	struct faas_function_stats s = stats_of(runtime, name);
	uint64_t known = s.queued + s.delayed + s.running + s.deferred + s.succeeded + s.failed + s.timed_out + s.expired +
	                 s.cancelled + s.dropped;

	printf("%-8s %9" PRIu64 " %9" PRIu64 " %7" PRIu64 " %8" PRIu64 " %9" PRIu64 " %9" PRIu64 "\n", name, s.accepted,
	       s.succeeded, s.failed, s.retries, s.dead_letters, s.records);
	return s.offered == s.accepted + s.rejected && s.accepted == known && s.accepted == s.succeeded + s.failed;
}

static int check_orders(struct shop *shop)
{
	int shipped = 0, refused = 0, right = 1;

	for (int i = 0; i < shop->count; i++) {
		struct order *order = &shop->orders[i];

		shipped += order->shipped;
		refused += order->refused;
		right = right && order->shipped + order->refused == 1 && order->charged == order->shipped &&
		        order->notified == order->shipped;
	}
	printf("%d orders: %d shipped, %d refused, %d out of order; takings %" PRId64 ".%02" PRId64 "\n", shop->count,
	       shipped, refused, shop->out_of_order, shop->takings / 100, shop->takings % 100);
	return right && shop->out_of_order == 0 && shipped + refused == shop->count;
}

/* ---- The program ------------------------------------------------------------------------------------------------- */

static void open_shop(faas_runtime *runtime, struct shop *shop)
{
	must("register", faas_register_function(runtime, "charge",
	                                        FAAS_FUNCTION(.handler = charge, .user = shop, .order = FAAS_ORDER_BY_KEY,
	                                                      .attempts = 4, .backoff_ms = 2, .on_success = "ship",
	                                                      .on_failure = "refuse")));
	must("register", faas_register_function(runtime, "refuse", FAAS_FUNCTION(.handler = refuse, .user = shop)));
	must("register", faas_register_function(runtime, "ship",
	                                        FAAS_FUNCTION(.handler = ship, .user = shop, .backoff_ms = 2,
	                                                      .on_success = "notify", .dead_letters = 1000000)));
	must("register", faas_register_function(runtime, "notify", FAAS_FUNCTION(.handler = notify, .user = shop)));
	must("bind", faas_bind(runtime, FAAS_BINDING(.pattern = "order.placed", .function = "charge"), NULL));
}

static void place_orders(faas_runtime *runtime, struct shop *shop)
{
	for (int i = 0; i < shop->count; i++) {
		struct order *order = &shop->orders[i];

		order->number = i;
		order->customer = i * 7 % CUSTOMERS;
		order->cents = 1000 + i % 50 * 100;
		must("emit", faas_emit_event(runtime,
		                             FAAS_EVENT(.type = "order.placed", .key = customers[order->customer],
		                                        .data = &i, .data_bytes = sizeof(i), .wait_ms = FAAS_NEVER),
		                             NULL));
	}
}

/* Waits until every order is shipped, refused, or a dead letter of the warehouse. */
static void settle(faas_runtime *runtime, const struct shop *shop)
{
	const struct timespec moment = {.tv_nsec = 1000000};

	for (;;) {
		struct faas_function_stats shipping = stats_of(runtime, "ship");

		if (shipping.succeeded + shipping.dead_letters + stats_of(runtime, "refuse").succeeded ==
		    (uint64_t)shop->count)
			return;
		(void)nanosleep(&moment, NULL);
	}
}

/* Shows one dead letter and sends all of them through again. */
static void redrive(faas_runtime *runtime)
{
	faas_invocation *letter;
	faas_function *function;
	uint64_t position = 0;
	int redriven;

	must("find", faas_function_find(runtime, "ship", &function));
	if (faas_function_dead_letter(function, &position, &letter) == FAAS_OK) {
		printf("a dead letter, for %s: %s\n", faas_event_key(faas_invocation_event(letter)),
		       faas_invocation_message(letter));
		faas_invocation_unref(letter);
	}
	redriven = faas_function_redrive(function, NULL);
	must("redrive", redriven);
	printf("the warehouse opens: %d redriven\n", redriven);
	faas_function_unref(function);
}

int main(int argc, char **argv)
{
	static const char *const names[] = {"charge", "refuse", "ship", "notify"};
	struct shop shop = {.count = argc > 1 ? atoi(argv[1]) : 100};
	faas_runtime *runtime;
	int adds_up = 1;

	if (shop.count < 1 || shop.count > 1000000) {
		fprintf(stderr, "usage: orders [ORDERS]   1 to 1,000,000 of them\n");
		return 2;
	}
	shop.orders = calloc((size_t)shop.count, sizeof(*shop.orders));
	if (!shop.orders)
		return 1;
	must("open", faas_open(NULL, &runtime));
	open_shop(runtime, &shop);
	place_orders(runtime, &shop);
	settle(runtime, &shop);
	atomic_store(&shop.is_warehouse_open, 1);
	redrive(runtime);
	must("drain", faas_drain(runtime, FAAS_NEVER));

	printf("%-8s %9s %9s %7s %8s %9s %9s\n", "", "accepted", "succeeded", "failed", "retries", "letters", "records");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		adds_up = print_account(runtime, names[i]) && adds_up;
	adds_up = check_orders(&shop) && adds_up;
	must("close", faas_close(runtime, FAAS_NEVER, 0));
	free(shop.orders);
	puts(adds_up ? "everything adds up" : "something is missing");
	return adds_up ? 0 : 1;
}
