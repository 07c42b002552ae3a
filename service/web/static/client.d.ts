/** The parameters of a picture's URL. `undefined` and `null` are the same as no value. */
export interface PictureParameters {
  preset?: string | null;
  w?: number | null;
  h?: number | null;
  fit?: "contain" | "cover" | "fill" | "pad" | null;
  /** `center`, `top`, `bottom`, `left`, `right`, or `x,y` from 0 to 1. */
  gravity?: string | null;
  /** 1 to 4. */
  dpr?: number | null;
  enlarge?: boolean | null;
  /** Six hexadecimal digits. */
  bg?: string | null;
  type?: string | null;
  /** One of these names in any letter case, or a number from 0 to 5. */
  ifBlank?:
    | "Default"
    | "ClearPixel"
    | "SrNoPhoto"
    | "SrNoPhotoWithBorder"
    | "Null"
    | "GenericFileIcon"
    | "Initials"
    | (string & {})
    | number
    | null;
  /** For `Initials`: 64 characters at most. */
  name?: string | null;
  /** The `BlobId` of the picture. */
  v?: string | number | null;
}

export interface PictureOptions extends PictureParameters {
  /** The URL of the service. */
  base?: string;
}

export interface SrcsetOptions extends PictureOptions {
  /** The values of `dpr`: 1, 2 and 3 by default. */
  ratios?: number[];
  /** The values of `w`, in place of `ratios`. */
  widths?: number[];
}

/** The URL of the picture of `contact`. */
export function pictureUrl(contact: number, options?: PictureOptions): string;

/** The value of `srcset` for screens of several ratios of pixels, or for several widths. */
export function srcset(contact: number, options?: SrcsetOptions): string;
