/** What a filter says, as a tree: names are numbers by now, and every value has the qualifiers that it was written with or took over from the one before. */

export type Filter =
  | { readonly kind: 'and' | 'or'; readonly left: Filter; readonly right: Filter }
  | { readonly kind: 'not'; readonly operand: Filter }
  | Primitive;

export type Primitive =
  /** An EtherType; up to 1500 a SAP of IEEE 802.2. */
  | { readonly kind: 'ether-proto'; readonly value: number }
  | { readonly kind: 'protocol'; readonly family: Family; readonly protocol: number }
  | { readonly kind: 'mac'; readonly direction: Direction; readonly high: number; readonly low: number }
  | {
      readonly kind: 'ip4';
      readonly protocols: readonly AddressProtocol[];
      readonly direction: Direction;
      readonly address: number;
      readonly mask: number;
    }
  | {
      readonly kind: 'ip6';
      readonly direction: Direction;
      readonly address: readonly number[];
      readonly mask: readonly number[];
    }
  | {
      readonly kind: 'ports';
      readonly protocols: readonly number[];
      readonly direction: Direction;
      readonly low: number;
      readonly high: number;
    }
  | { readonly kind: 'multicast' | 'ip4-multicast' | 'ip6-multicast' | 'ip4-broadcast' }
  /** -1: any. What stands behind it sees the frame behind the tag. */
  | { readonly kind: 'vlan'; readonly id: number }
  | {
      readonly kind: 'relation';
      readonly operator: Relation;
      readonly left: Arithmetic;
      readonly right: Arithmetic;
    };

export type Family = 'ip' | 'ip6' | 'either';

/** Protocols that carry IPv4 addresses. */
export type AddressProtocol = 'ip' | 'arp' | 'rarp';

/** `both`: source and destination; `either`: one of them. */
export type Direction = 'src' | 'dst' | 'both' | 'either';

export type Relation = '=' | '!=' | '<' | '>' | '<=' | '>=';

/** Of 32 bits without sign. */
export type Arithmetic =
  | { readonly kind: 'number'; readonly value: number }
  /** Of the whole frame. */
  | { readonly kind: 'length' }
  | { readonly kind: 'load'; readonly layer: Layer; readonly index: Arithmetic; readonly bytes: 1 | 2 | 4 }
  | { readonly kind: 'binary'; readonly operator: Operator; readonly left: Arithmetic; readonly right: Arithmetic };

export type Operator = '+' | '-' | '*' | '/' | '%' | '&' | '|' | '^' | '<<' | '>>';

/** What `layer[...]` can begin with. */
export type Layer = 'ether' | 'ip' | 'ip6' | 'arp' | 'rarp' | 'tcp' | 'udp' | 'sctp' | 'icmp' | 'icmp6' | 'igmp';

/** A mistake in the text. It does not leave this folder: `compileFilter` makes a failure of it. */
export class FilterMistake extends Error {
  /** Where in the text, from 0. */
  readonly at: number;

  constructor(at: number, message: string) {
    super(message);
    this.at = at;
  }
}
