/* image.h - images as a model sees them. Included by checkpoint.h; do not include it alone. */
#ifndef RAD_CHECKPOINT_IMAGE_H
#define RAD_CHECKPOINT_IMAGE_H

/* Pixels [3][side][side] for a model with images of `side` pixels, malloc'ed. PNG and JPEG are
 * resized and normalised as folder/preprocessor_config.json says:
 *   1. to 8-bit RGB: grey is repeated, alpha and the low byte of 16 bits are dropped;
 *   2. if do_resize: to side x side (the shape is not kept) by `resample` 2 (bilinear, the default)
 *      or 3 (bicubic, a = -0.5), with antialiasing: the filter is stretched by the scale when
 *      shrinking; horizontally, then vertically, rounded to 8 bits after each, as Pillow does;
 *   3. if do_rescale: times rescale_factor (1/255); if do_normalize: (x - image_mean) / image_std
 *      per channel (0.5 and 0.5).
 * A .npy file (float32, [3][side][side], C order) is taken as it is, already normalised.
 * errors: RAD_E_IO, RAD_E_PARSE (damaged, or neither of these), RAD_E_RANGE (over 16384 pixels a
 * side or 2^26 in all, another shape), RAD_E_UNSUPPORTED (CMYK, crops, other filters), RAD_E_NOMEM
 */
RAD_MUST_CHECK enum rad_status rad_image_open(float **out, const char *path, const char *folder,
                                              int32_t side, struct rad_err *err);

#endif
