/** The size of the pieces in which controls carry long lists. */

/**
 * Characters of filters in one piece. A filter may have 65,535 characters [MQTT-4.7.3-3], so a number of filters alone would not bound the
 * time that a thread needs to post or to apply a piece.
 */
export const PIECE_LENGTH = 64 * 1024;
