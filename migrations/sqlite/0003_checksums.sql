-- A disk forgets. What was written is noted in a few bytes beside it, so that it is not believed when it
-- has changed. NULL: it was written before this step, and is not checked.

-- CRC-32 over what decides where, when and whether the message is sent, and which one it is.
ALTER TABLE callout_delivery ADD COLUMN checksum INTEGER;

-- CRC-32 over the message as it was when it was planned: not every program that inserts one notes it.
ALTER TABLE callout_progress ADD COLUMN content INTEGER;
