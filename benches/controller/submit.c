/* Threads that submit held batch jobs through libslurm: submit SECONDS THREADS. Prints how many. */

#include <pthread.h>
#include <slurm/slurm.h>
#include <slurm/slurm_errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static double seconds;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void *submit(void *counter)
{
	long *done = counter;
	double end = now() + seconds;
	char *environment[] = {"PATH=/usr/bin:/bin", NULL};

	while (now() < end) {
		job_desc_msg_t job;
		submit_response_msg_t *reply = NULL;

		slurm_init_job_desc_msg(&job);
		job.name = "bench";
		job.script = "#!/bin/sh\nexit 0\n";
		job.environment = environment;
		job.env_size = 1;
		job.work_dir = "/tmp";
		job.std_out = "/dev/null";
		job.user_id = getuid();
		job.group_id = getgid();
		job.priority = 0;
		job.min_nodes = 1;
		if (slurm_submit_batch_job(&job, &reply)) {
			fprintf(stderr, "submit: %s\n", slurm_strerror(slurm_get_errno()));
			exit(1);
		}
		slurm_free_submit_response_response_msg(reply);
		++*done;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	int count = argc > 2 ? atoi(argv[2]) : 8;
	pthread_t *threads = calloc(count, sizeof(*threads));
	long *done = calloc(count, sizeof(*done)), all = 0;

	seconds = argc > 1 ? atof(argv[1]) : 1;
	slurm_init(NULL);
	for (int i = 0; i < count; i++)
		pthread_create(&threads[i], NULL, submit, &done[i]);
	for (int i = 0; i < count; i++) {
		pthread_join(threads[i], NULL);
		all += done[i];
	}
	printf("%ld\n", all);
	return 0;
}
