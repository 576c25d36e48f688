/* SPDX-License-Identifier: MIT */
/*
 * A process that forks while its threads are in the middle of everything: whatever locks they hold in that moment are
 * held for ever in the child, so no call may touch one. The parent notices nothing.
 */
#include "stress.h"

#include <sys/wait.h>
#include <unistd.h>

#define THREADS 3
#define CHILDREN 12

struct scene {
	faas_runtime *runtime;
	struct findings findings;
	faas_function *function;
	faas_invocation *kept;
	atomic_int is_over;
	struct member {
		struct scene *scene;
		uint64_t seed;
		uint64_t taken;
	} members[THREADS];
	atomic_ullong runs;
};

static int count_run(faas_context *context, const faas_event *event)
{
	struct scene *scene = faas_context_user(context);

	(void)event;
	atomic_fetch_add(&scene->runs, 1);
	return 0;
}

/* Takes all the locks there are, as often as it can. */
static void be_busy(void *arg)
{
	struct member *member = arg;
	struct scene *scene = member->scene;
	struct faas_runtime_stats stats = {.struct_size = sizeof(stats)};

	while (!atomic_load(&scene->is_over)) {
		uint64_t id = 0;
		faas_invocation *invocation = NULL;

		member->taken += faas_emit_event(scene->runtime, FAAS_EVENT(.type = "t"), NULL) == 1;
		if (faas_bind(scene->runtime, FAAS_BINDING(.pattern = "x.*", .function = "f"), &id) == FAAS_OK)
			(void)faas_unbind(scene->runtime, id);
		(void)faas_runtime_stats(scene->runtime, &stats);
		if (random_below(&member->seed, 4) == 0) {
			member->taken += faas_invoke(scene->runtime, "f", NULL, FAAS_NEVER, &invocation) == FAAS_OK;
			faas_invocation_unref(invocation);
		}
	}
}

/* In the child: how many calls said something else. Nothing but the library is called here. */
static int count_wrong(const struct scene *scene)
{
	struct faas_runtime_stats stats = {.struct_size = sizeof(stats)};
	struct faas_function_stats function_stats = {.struct_size = sizeof(function_stats)};
	faas_emission *emission = NULL;
	uint64_t id = 0;
	int64_t due = 0;
	int wrong = 0;

	wrong += faas_emit_event(scene->runtime, FAAS_EVENT(.type = "t"), &emission) != FAAS_EFORKED;
	wrong += faas_bind(scene->runtime, FAAS_BINDING(.pattern = "t", .function = "f"), &id) != FAAS_EFORKED;
	wrong += faas_unbind(scene->runtime, 1) != FAAS_EFORKED;
	wrong += faas_invoke(scene->runtime, "f", NULL, FAAS_NEVER, NULL) != FAAS_EFORKED;
	wrong += faas_function_invoke_async(scene->function, NULL, NULL) != FAAS_EFORKED;
	wrong += faas_invocation_wait(scene->kept, FAAS_NEVER) != FAAS_EFORKED;
	wrong += faas_invocation_cancel(scene->kept) != FAAS_EFORKED;
	wrong += faas_runtime_stats(scene->runtime, &stats) != FAAS_EFORKED;
	wrong += faas_function_stats(scene->function, &function_stats) != FAAS_EFORKED;
	wrong += faas_unregister_function(scene->runtime, "f") != FAAS_EFORKED;
	wrong += faas_next_due(scene->runtime, &due) != FAAS_EFORKED;
	wrong += faas_run(scene->runtime, 1) != FAAS_EFORKED;
	wrong += faas_drain(scene->runtime, FAAS_NEVER) != FAAS_EFORKED;
	wrong += faas_close(scene->runtime, FAAS_NEVER, 0) != FAAS_EFORKED;
	faas_invocation_unref(scene->kept);
	faas_function_unref(scene->function);
	return wrong;
}

static void fork_one(const struct scene *scene)
{
	pid_t child = fork();
	int status = 0;

	if (child == 0)
		_exit(count_wrong(scene));
	assert_true(child > 0);
	assert_int_equal(child, waitpid(child, &status, 0));
	assert_true(WIFEXITED(status));
	CHECK_EQUAL(0, WEXITSTATUS(status));
}

static void children_may_call_nothing(uint64_t seed)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	uint64_t taken = 1;
	struct crowd crowd;

	assert_non_null(scene);
	scene->runtime = open_runtime(FAAS_RUNTIME(.threads = 2, .thread_idle_ms = 1));
	assert_int_equal(FAAS_OK,
	                 faas_register_function(scene->runtime, "f", ONCE(.handler = count_run, .user = scene)));
	assert_int_equal(FAAS_OK, faas_bind(scene->runtime, FAAS_BINDING(.pattern = "t", .function = "f"), NULL));
	scene->function = find_function(scene->runtime, "f");
	assert_int_equal(FAAS_OK, faas_function_invoke_async(scene->function, NULL, &scene->kept));
	crowd_init(&crowd);
	for (int t = 0; t < THREADS; t++) {
		scene->members[t] = (struct member){.scene = scene, .seed = stress_fork(&seed)};
		crowd_add(&crowd, be_busy, &scene->members[t]);
	}
	crowd_start(&crowd);
	for (int i = 0; i < CHILDREN; i++)
		fork_one(scene);
	atomic_store(&scene->is_over, 1);
	crowd_join(&crowd);
	assert_int_equal(FAAS_OK, faas_drain(scene->runtime, FAAS_NEVER));
	for (int t = 0; t < THREADS; t++)
		taken += scene->members[t].taken;
	CHECK_EQUAL(taken, scene->runs);
	CHECK_EQUAL(taken, totals_of(scene->runtime).total.succeeded);
	faas_invocation_unref(scene->kept);
	faas_function_unref(scene->function);
	close_runtime(scene->runtime, 0);
	free(scene);
}

static void forking(void **state)
{
	(void)state;
	stress("fork@busy", 6, children_may_call_nothing);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{"fork@threads in the middle of everything: a child touches no lock", forking, NULL, NULL, NULL},
	};

	return cmocka_run_group_tests_name("stress fork", tests, NULL, NULL);
}
