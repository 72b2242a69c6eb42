/* Texts of many kinds and languages, as short and as long as users' are; none is in a test or a benchmark. */
#ifndef CE_CALIBRATION_TEXTS_H
#define CE_CALIBRATION_TEXTS_H

enum { CE_CALIBRATION_TEXTS = 120, CE_EVALUATION_TEXTS = 64 };

/* What reduced-precision weights are fitted to. */
extern const char *const ce_calibration_texts[CE_CALIBRATION_TEXTS];

/* What they are measured on: no text is in both. */
extern const char *const ce_evaluation_texts[CE_EVALUATION_TEXTS];

#endif
