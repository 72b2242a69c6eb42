/* What goes to standard error: errors, remarks, progress. */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include <stddef.h>
#include <stdint.h>

/* `quiet` leaves errors alone. */
void report_setup(int quiet);

/* One line, "citadel-embed: " in front. */
void report_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void report_remark(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A citadel_log_fn. */
void report_log(void *user, int32_t level, const char *message);

/* One line that is overwritten again and again; nothing unless standard error is a terminal that
 * the results do not go to. The time is counted from report_progress_start. */
void report_progress_start(int results_on_terminal);

/* `part` is how much of the input is done, from 0 to 1, or below 0 if that is not known. */
void report_progress(size_t texts, double part);

void report_progress_end(void);

#endif
