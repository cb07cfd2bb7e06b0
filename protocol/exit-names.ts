/** Exit names: a device that uses an exit asks it for the names of the world, one DNS message each way on a libp2p
 *  stream (SPEC §13.6): so no question leaves beside the exit. */
export const EXIT_NAMES_PROTOCOL = '/nexodus/exit-names/1'
/** Bytes of a question, and of an answer: what DNS has by TCP (RFC 1035 §4.2.2). */
export const EXIT_QUESTION_BYTES = 1232
export const EXIT_ANSWER_BYTES = 65_535
