/** What bodies may be: JSON, and of the configuration YAML too. Bounded in length by the type, and in depth, before anybody walks them. */
import { API_YAML_BYTES_MAX } from '../base/limits.ts';
import type { Api } from './api.ts';
import { ApiError } from './api-error.ts';

/** A configuration nests eight deep. */
const DEPTH_MAX = 64;

/** JSON only, besides what is added by the scope. */
export function acceptJson(api: Api, bytesMax: number): void {
  api.removeAllContentTypeParsers();
  const parse = api.getDefaultJsonParser('error', 'error');
  for (const type of ['application/json', 'application/merge-patch+json']) {
    api.addContentTypeParser(type, { parseAs: 'string', bodyLimit: bytesMax }, (request, body, done) => {
      parse(request, body as string, (error, value) => {
        if (error !== null) done(badJson(error));
        else if (deeperThan(value, DEPTH_MAX)) done(tooDeep());
        else done(null, value);
      });
    });
  }
}

/** As text: whoever reads it tells mistakes with their line. */
export function acceptYaml(api: Api): void {
  const types = ['application/yaml', 'application/x-yaml', 'text/yaml'];
  api.addContentTypeParser(types, { parseAs: 'string', bodyLimit: API_YAML_BYTES_MAX }, (_request, body, done) => {
    done(null, body as string);
  });
}

function deeperThan(value: unknown, depth: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (depth === 0) return true;
  return Object.values(value).some((each) => deeperThan(each, depth - 1));
}

function badJson(error: Error): ApiError {
  return new ApiError(400, 'json-invalid', `the body is no JSON: ${error.message}`);
}

function tooDeep(): ApiError {
  return new ApiError(400, 'json-invalid', `the body nests deeper than ${DEPTH_MAX} levels`);
}
