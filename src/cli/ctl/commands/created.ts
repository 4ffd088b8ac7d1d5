/** Commands that make something say what it is called. */
import type { ApplyView } from '../../../network/views.ts';

export interface Created {
  readonly name: string;
  readonly applied: ApplyView;
}

/** How the outcome of such a command is told. */
export const TELLS_NAME: {
  readonly render: (created: Created) => string;
  readonly toJson: (created: Created) => ApplyView;
} = { render: ({ name }) => `${name}\n`, toJson: ({ applied }) => applied };
