# Small images of one size: all of them stay in memory, and whole batches are augmented on the device of the model.
# A config of other images takes this base, or --resident; --no-resident reads and augments image by image.
resident = True
