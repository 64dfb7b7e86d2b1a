/**
 * Captures: pcap and pcapng bytes to UDP payloads with time and addresses. Pure.
 *
 * @module
 */
export {}
