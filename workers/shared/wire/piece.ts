/** How much of one kind a control brings. */

/**
 * Characters of filters in one piece. A filter may have 65,535 [MQTT-4.7.3-3]: a number of filters alone would not bound the time that a
 * thread needs to post and to take in a piece.
 */
export const PIECE_LENGTH = 64 * 1024;
